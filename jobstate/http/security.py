"""Who may ask at all: checked before any route, for requests of every kind."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobstate.http.errors import problem, too_large
from jobstate.http.settings import Settings

OPEN_PATHS: Final = frozenset({"/healthz"})
"""What answers without a token: whoever watches over the server need not know it."""

_BODY_PAUSE: Final = 5.0
"""Seconds that a body may stand still: whoever announces one and does not send it would hold up the end of a server."""


class SecurityChecks:
    """Refuses foreign hosts and origins, requests without the token, and bodies that are not JSON.

    A web page can make a browser send requests to this machine. It cannot choose the Host of a name that is not its
    own, nor leave out its Origin, nor send JSON without asking first; so it can neither read nor stop jobs.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] == "http":
            refusal = self._refusal(scope["path"], Headers(scope=scope))
            if refusal is not None:
                await refusal(scope, receive, send)
                return
            body = _Body(receive, send, self._settings.body_limit)
            receive, send = body.receive, body.send
        await self._app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self._settings.local_names_only and not _is_local(host):
            return problem(403, "FORBIDDEN", "the Host is not a name of this machine; use 127.0.0.1 or localhost")
        if any(not _is_origin_at(host, origin) for origin in headers.getlist("origin")):
            return problem(403, "FORBIDDEN", "requests of web pages from elsewhere are refused")
        if path not in OPEN_PATHS and not self._knows_token(headers.get("authorization", "")):
            return problem(
                401,
                "UNAUTHORIZED",
                "a token is needed: Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        if _announced(headers) > self._settings.body_limit:
            return too_large()
        if _has_body(headers) and _media_type(headers) != "application/json":
            return problem(415, "UNSUPPORTED_MEDIA_TYPE", "a body must be JSON, with Content-Type: application/json")
        return None

    def _knows_token(self, authorization: str) -> bool:
        if self._settings.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(_digest(given.strip()), _digest(self._settings.token))
        return same and scheme.lower() == "bearer"


class _Body:
    """A body that may turn out larger than it should, as it announced no length, or never come.

    Once the answer begins nobody reads it any more; what is still received then is the end of the connection.
    """

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._left = limit
        self._awaited = True

    async def receive(self) -> Message:
        """The next part."""
        try:
            async with asyncio.timeout(_BODY_PAUSE if self._awaited else None):
                message = await self._receive()
        except TimeoutError:
            if self._awaited:
                raise HTTPException(408) from None
            message = await self._receive()
        if self._awaited:
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise HTTPException(413)
            self._awaited = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        self._awaited = False
        await self._send(message)


def _announced(headers: Headers) -> int:
    """How long the body says it is."""
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine's loopback, with or without a port.

    An address of the loopback cannot be anybody's name, so no page can bring it to stand for somewhere else.
    """
    name = _name_in(host)
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_origin_at(host: str, origin: str) -> bool:
    """Whether a page of that origin came from this server itself."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def _name_in(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # an error where it is no number
    except ValueError:
        return ""
    return parts.hostname or "" if parts.netloc == host and parts.username is None else ""


def _digest(token: str) -> bytes:
    """Equally long for every token, so that comparing two takes equally long."""
    return hashlib.sha256(token.encode()).digest()


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in headers


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
