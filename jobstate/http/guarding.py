"""Who may ask at all: checked before any route, for requests of every kind."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobstate.http.problems import problem, too_large
from jobstate.http.settings import Settings

OPEN_PATHS: Final = frozenset({"/healthz"})
"""What answers without a token: whoever watches over the server need not know it."""

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
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
            receive = _Bounded(receive, self._settings.body_limit)
        await self._app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self._settings.local_names_only and _name_in(host) not in _LOCAL_NAMES:
            return problem(403, "FORBIDDEN", "the Host is not a name of this machine; use 127.0.0.1 or localhost")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
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
        # The digest takes equally long whatever the token is, and however much of it is right.
        same = hmac.compare_digest(given.strip().encode(), self._settings.token.encode())
        return same and scheme.lower() == "bearer"


class _Bounded:
    """A body that may turn out larger than it should, as it announced no length."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413)
        return message


def _announced(headers: Headers) -> int:
    """How long the body says it is."""
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _name_in(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in headers


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
