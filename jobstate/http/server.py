"""`jobstate serve`: the application under uvicorn, from the first bind to a clean end."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Final

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
"""Seconds that requests under way have when the server ends."""
_BACKLOG: Final = 128
_LAST_PORT: Final = 65535


class Protocol(H11Protocol):
    """HTTP/1.1 as uvicorn has it, but for the words of its refusal."""

    def send_400_response(self, msg: str) -> None:
        """Answer, and close: nobody knows where the next request would begin."""
        answer = problem(400, "INVALID_REQUEST", "this is no valid HTTP/1.1 request")
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=answer.status_code, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Lets those that wait go before it waits for them."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, told: str) -> None:
        super().__init__(config)
        self._app = app
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once requests are answered and signals are heard."""
        await super().startup(sockets)
        if self.started:
            print(self._told, file=sys.stderr, flush=True)  # noqa: T201  (a command's message, on standard error)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self._app.state.changes.stop()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A signal is the ordinary end of a server: it is not raised once more when all is done."""
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
        host: Where to listen. Anything but loopback needs a token.
        port: 0: any that is free.
        token: What every request must carry.
        profile: How states are spelled: `docs` or `sdk`.
        actor: Who sweeps, in the history.

    Raises:
        InvalidRequest: An argument is not as described.
        OSError: The address cannot be listened on; its text names it.
        StoreError: The store cannot be opened.
    """
    settings = _settings(host, token, profile)
    validation.integer("port", port, 0, _LAST_PORT)
    with listen(host, port) as listening, jobstate.open(db, actor=actor) as store:
        app = create_app(store, settings, reopen=partial(jobstate.open, db, actor=actor, create=False))
        config = uvicorn.Config(
            app,
            http=Protocol,  # the same whatever else is installed
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is who connects; a proxy passes X-Jobstate-Actor on
            timeout_graceful_shutdown=_GRACE,
        )
        where = f"http://{_shown(host)}:{listening.getsockname()[1]}"
        told = f"jobstate serves {store.path} at {where} (profile {profile})"
        _Server(config, app, told).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve from, whose connections send at once.

    asyncio sees to that only where the socket names its protocol, which this one does not: an answer's body would wait
    for the other side to confirm its head, some 40 ms on a connection that is used again.
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
