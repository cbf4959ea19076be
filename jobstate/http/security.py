"""Checks before any route: Host, Origin, token, and the body of a request."""

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
"""Paths that need no token: a health check does not have to know it."""

_BODY_PAUSE: Final = 5.0
"""Seconds between two parts of a body: a sender that announces a body and never sends it would delay a shutdown."""


class SecurityChecks:
    """Refuses foreign hosts and origins, requests without the token, and bodies that are not JSON.

    A web page can make a browser send requests to this machine. It cannot send the Host of another name, omit its
    Origin, or send JSON without a preflight request; so it can neither read nor stop jobs.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
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
            return problem(403, "FORBIDDEN", "the server refuses requests of web pages from other origins")
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
    """Refuses a body that is too large without an announced length, or that does not arrive.

    Once the answer begins, no route reads the body; what arrives after that is the end of the connection.
    """

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._left = limit
        self._expected = True

    async def receive(self) -> Message:
        """Receive the next part of the body."""
        try:
            async with asyncio.timeout(_BODY_PAUSE if self._expected else None):
                message = await self._receive()
        except TimeoutError:
            if self._expected:
                raise HTTPException(408) from None
            message = await self._receive()
        if self._expected:
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise HTTPException(413)
            self._expected = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        self._expected = False
        await self._send(message)


def _announced(headers: Headers) -> int:
    """The length that the headers announce."""
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _is_local(host: str) -> bool:
    """Whether a Host header names the loopback of this machine, with or without a port.

    A loopback address is not a domain name, so no page can make it resolve to another machine.
    """
    name = _name_in(host)
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_origin_at(host: str, origin: str) -> bool:
    """Whether a page of that origin came from this server."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def _name_in(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # an error where it is not a number
    except ValueError:
        return ""
    return parts.hostname or "" if parts.netloc == host and parts.username is None else ""


def _digest(token: str) -> bytes:
    """The same length for every token, so that every comparison takes the same time."""
    return hashlib.sha256(token.encode()).digest()


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in headers


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
