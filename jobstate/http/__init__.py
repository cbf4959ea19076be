"""The HTTP API over a store: each route makes one call of the store and answers with a document of `jobstate.wire`.

`create_app` makes an ASGI application of an open store, for any ASGI server or a larger application;
`jobstate.http.server.serve` is what `jobstate serve` runs.
"""

from jobstate.http.app import create_app as create_app
from jobstate.http.settings import Settings as Settings
