"""`jobstate serve`: the application under uvicorn, from the bind to a clean shutdown."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

import jobstate
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.http.app import create_app
from jobstate.http.errors import problem
from jobstate.http.settings import Settings
from jobstate.wire.address import DEFAULT_HOST, DEFAULT_PORT
from jobstate.wire.states import Dialect

_PROFILES: Final = {dialect.value: dialect for dialect in (Dialect.DOCS, Dialect.SDK)}
_GRACE: Final = 10
"""Seconds that requests in progress have when the server shuts down."""
_BACKLOG: Final = 128
_LAST_PORT: Final = 65535
_LONGEST_HEAD: Final = 64 * 1024
"""Bytes that the request line and the headers may have together."""


class Protocol(H11Protocol):
    """HTTP/1.1 of uvicorn; refuses what is not HTTP with the same body as every other error."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # uvicorn's bound of 16 KiB holds only where the head arrives in several parts: its answer depends on chance.
        self.conn = h11.Connection(h11.SERVER, _LONGEST_HEAD)

    def send_400_response(self, msg: str) -> None:
        """Answer, and close the connection: where the next request begins is unknown."""
        answer = problem(400, "INVALID_REQUEST", "this is not a valid HTTP/1.1 request")
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=answer.status_code, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Ends waiting requests and streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, started_text: str) -> None:
        super().__init__(config)
        self._app = app
        self._started_text = started_text

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Print a message once the server answers requests and handles signals."""
        await super().startup(sockets)
        if self.started:
            print(self._started_text, file=sys.stderr, flush=True)  # noqa: T201  (a command's message, on standard error)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self._app.state.changes.stop()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not raise the signals again after the shutdown: a signal is the ordinary end of a server."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def serve(
    db: str,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    token: str | None = None,
    profile: str = Dialect.DOCS.value,
    actor: str | None = None,
) -> None:
    """Serve a store until SIGINT or SIGTERM; a missing file is created.

    Args:
        db: The file of the store.
        host: The address to listen on. Any address but loopback needs a token.
        port: 0: any free port.
        token: The token that every request must have.
        profile: The spelling of states: `docs` or `sdk`.
        actor: The actor of sweeps in the history.

    Raises:
        InvalidRequest: An argument is not as described.
        OSError: The server cannot listen on the address; the text names it.
        StoreError: The store cannot be opened.
    """
    settings = _settings(host, token, profile)
    validation.integer("port", port, 0, _LAST_PORT)
    with listen(host, port) as listening, jobstate.open(db, actor=actor) as store:
        app = create_app(store, settings, reopen=partial(jobstate.open, db, actor=actor, create=False))
        config = uvicorn.Config(
            app,
            http=Protocol,  # independent of what else is installed
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the caller is the peer of the connection; a proxy sets X-Jobstate-Actor
            timeout_graceful_shutdown=_GRACE,
        )
        where = f"http://{_shown(host)}:{listening.getsockname()[1]}"
        started_text = f"jobstate serves {store.path} at {where} (profile {profile})"
        _Server(config, app, started_text).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections send without delay (TCP_NODELAY).

    asyncio sets that option only where the socket names its protocol, which this one does not: the body of an answer
    would wait until the peer confirms its head, some 40 ms on a reused connection.
    """
    listening = socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it
    return listening


def _settings(host: str, token: str | None, profile: str) -> Settings:
    if profile not in _PROFILES:
        raise InvalidRequest("profile", f"must be one of {', '.join(_PROFILES)}, not {profile!r}")
    local = _is_loopback(host)
    if not local and token is None:
        raise InvalidRequest("host", f"{host} can be reached from elsewhere: set a token, or listen on 127.0.0.1")
    return Settings(dialect=_PROFILES[profile], token=token, local_names_only=local)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
