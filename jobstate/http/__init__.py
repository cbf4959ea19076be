"""The HTTP API over a store: a route, one call of the store, a document of `jobstate.wire`.

`create_app` makes an ASGI application of an open store, to be mounted or served as one likes;
`jobstate.http.serving.serve` is what `jobstate serve` runs.
"""

from jobstate.http.application import create_app as create_app
from jobstate.http.settings import Settings as Settings
