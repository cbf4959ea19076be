"""The HTTP API: a route, one call of the store, the document of `jobstate.wire`."""
