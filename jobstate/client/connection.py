"""`Connection`: HTTP requests to one server, repeated where that is safe; answers become values or raise their errors.

The token is in one header of each request and nowhere else. Proxies that the environment names are not used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from http.client import BadStatusLine, LineTooLong, RemoteDisconnected, UnknownProtocol
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from jobstate._version import __version__
from jobstate.client.errors import ServerUnreachable, UnexpectedAnswer
from jobstate.domain.errors import JobStateError, StoreClosed
from jobstate.domain.event import Actor
from jobstate.system import Clock, pid
from jobstate.wire.errors import error_of

BRIEFLY: Final = 0.5
"""Seconds that a server may be away before a call gives up on it."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_BUSY_TRIES: Final = 3
_BUSY_STATUS: Final = 503
_LONGEST_MESSAGE: Final = 500
_CONNECTIONS: Final = 10

Value = TypeVar("Value")


class Answer(NamedTuple):
    """The answer to a request that the server carried out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """A server at a URL. Safe to use from several threads, and in a forked child."""

    def __init__(self, url: str, token: str | None, timeout: float, clock: Clock) -> None:
        self.url = url
        self.clock = clock
        self._token = token
        self._timeout = timeout
        self._pool = _new_pool(url)
        self._path = urllib3.util.parse_url(url).path or ""
        self._process = pid()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Connection {self.url}>"

    def close(self) -> None:
        """Close the sockets; later calls raise StoreClosed."""
        self._closed = True
        self._pool.close()

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        by: Actor | None = None,
        body: Mapping[str, Any] | None = None,
        safe: bool = False,
        lasting: float = 0.0,
        patience: float = BRIEFLY,
    ) -> Answer:
        """Send a request, and return the answer.

        Args:
            method: GET, PUT, POST or DELETE.
            path: Below the URL, quoted.
            query: The query parameters; those that are None are left out.
            by: Who acts, and why, where something is changed.
            body: A JSON document.
            safe: Whether the request may be carried out twice. Any other is repeated only where it cannot have
                reached the server.
            lasting: Seconds that the server may take for the work itself, beside the timeout.
            patience: Seconds to keep trying while the server is away.

        Raises:
            JobStateError: The error that the server answered with.
            ServerUnreachable: No server listens there, or the connection broke before it answered.
            UnexpectedAnswer: The answer is not one of this version of jobstate.
        """
        response = self._send(
            method,
            self._target(path, query),
            self._headers("application/json", by, has_body=body is not None),
            None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
            safe=safe,
            seconds=self._timeout + lasting,
            patience=patience,
            whole=True,
        )
        answer = Answer(response.status, response.headers, response.data)
        if not 200 <= answer.status < 300:
            raise self._refusal(answer)
        return answer

    def open_stream(
        self, path: str, query: Mapping[str, object], *, patience: float = BRIEFLY
    ) -> urllib3.BaseHTTPResponse:
        """Open a stream of server-sent events; the caller closes the response."""
        headers = {**self._headers("text/event-stream"), "Cache-Control": "no-store"}
        target = self._target(path, query)
        response = self._send(
            "GET", target, headers, None, safe=True, seconds=self._timeout, patience=patience, whole=False
        )
        kind = response.headers.get("Content-Type", "")
        if response.status == 200 and kind.partition(";")[0].strip().lower() == "text/event-stream":
            return response
        try:
            if response.status != 200:
                raise self._refusal(Answer(response.status, response.headers, response.data))
            raise self.not_understood(response.status, f"sent {kind or 'no type'} instead of events")
        except HTTPError as error:
            raise self._lost(error, safe=True) from error
        finally:
            response.close()

    def read(self, answer: Answer, make: Callable[[Any], Value]) -> Value:
        """The JSON of an answer as a value. Raises UnexpectedAnswer."""
        try:
            return make(json.loads(answer.body))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = answer.headers.get("Content-Type", "no type")
            problem = f"sent {kind} that this version of jobstate does not understand"
            raise self.not_understood(answer.status, problem) from error

    def number(self, answer: Answer, header: str) -> int:
        """The number in a header of an answer. Raises UnexpectedAnswer."""
        try:
            return int(answer.headers[header])
        except (LookupError, ValueError) as error:
            raise self.not_understood(answer.status, f"sent no {header}") from error

    def not_understood(self, status: int | None, problem: str) -> UnexpectedAnswer:
        """The error for an answer that this version does not understand."""
        return UnexpectedAnswer(self.url, status, None, self._cleaned(problem))

    def lost(self, problem: str) -> ServerUnreachable:
        """The error for a server that is away."""
        return ServerUnreachable(self.url, self._cleaned(problem))

    def _target(self, path: str, query: Mapping[str, object] | None) -> str:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._path + path + ("?" + urlencode(given, quote_via=quote) if given else "")

    def _headers(self, accept: str, by: Actor | None = None, *, has_body: bool = False) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": f"jobstate/{__version__}"}
        if has_body:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if by is not None:
            headers["X-Jobstate-Actor"] = quote(by.name, safe="")
            if by.reason is not None:
                headers["X-Jobstate-Reason"] = quote(by.reason, safe="")
        return headers

    def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        safe: bool,
        seconds: float,
        patience: float,
        whole: bool,
    ) -> urllib3.BaseHTTPResponse:
        timeout = urllib3.Timeout(connect=self._timeout, read=seconds)
        give_up, pause, busy_tries = self.clock.monotonic() + patience, _FIRST_PAUSE, _BUSY_TRIES
        while True:
            try:
                response = self._opened().urlopen(
                    method,
                    target,
                    body=body,
                    headers=headers,
                    timeout=timeout,
                    retries=False,
                    redirect=False,
                    preload_content=whole,
                )
            except HTTPError as error:
                if not _worth_repeating(error, safe=safe) or self.clock.monotonic() + pause > give_up:
                    raise self._lost(error, safe=safe) from error
                self.clock.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
                continue
            after = _retry_after(response) if safe else None
            busy_tries -= 1
            if after is None or busy_tries == 0:
                return response
            response.close()
            self.clock.sleep(after)

    def _opened(self) -> urllib3.HTTPConnectionPool:
        if self._closed:
            raise StoreClosed(self.url, "the client was closed; call jobstate.connect again")
        if self._process != pid():  # the sockets belong to the process that this one was forked from
            self._pool, self._process = _new_pool(self.url), pid()
        return self._pool

    def _refusal(self, answer: Answer) -> JobStateError:
        """The error that an answer reports."""
        try:
            document = json.loads(answer.body)
            code, message = str(document["error_code"]), str(document["error_message"])
        except (LookupError, TypeError, ValueError):
            kind = answer.headers.get("Content-Type", "no type")
            return self.not_understood(answer.status, f"sent {kind} that is not an answer of jobstate")
        try:
            fields: Sequence[Any] = json.loads(answer.headers.get("X-Jobstate-Error-Fields", ""))
            error = error_of(code, fields)
        except (TypeError, ValueError):
            error = None
        return error or UnexpectedAnswer(self.url, answer.status, self._cleaned(code), self._cleaned(message))

    def _lost(self, error: HTTPError, *, safe: bool) -> JobStateError:
        """The error for a request that got no answer."""
        if _speaks_no_http(error):
            return self.not_understood(None, "what listens there does not speak HTTP")
        unsure = "" if safe else "; whether the request was carried out is not known, so look before you repeat it"
        if isinstance(error, NewConnectionError | ConnectTimeoutError):
            reason = error.__cause__
            detail = reason.strerror if isinstance(reason, OSError) and reason.strerror else "no connection in time"
            return self.lost(f"the server cannot be reached ({detail})")
        if isinstance(error, ReadTimeoutError):
            return self.lost(f"the server did not answer in time{unsure}")
        if isinstance(error, SSLError):
            return self.lost(f"no secure connection was possible ({error})")
        return self.lost(f"the connection broke ({_cause(error)}){unsure}")

    def _cleaned(self, text: str) -> str:
        """Text of a server, fit for a terminal; the token is masked, in case the server sent it back."""
        if self._token is not None:
            text = text.replace(self._token, "[token]")
        line = "".join(character if character.isprintable() else " " for character in text)
        return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "…"


def _new_pool(url: str) -> urllib3.HTTPConnectionPool:
    return urllib3.connection_from_url(url, maxsize=_CONNECTIONS)


def _worth_repeating(error: HTTPError, *, safe: bool) -> bool:
    """Whether the request did not arrive, or may arrive twice and may succeed now."""
    if isinstance(error, NewConnectionError):
        return True
    return safe and isinstance(error, ProtocolError) and not _speaks_no_http(error)


def _speaks_no_http(error: HTTPError) -> bool:
    cause = _cause(error)
    # urllib3 reports a closed connection as a bad status line too.
    return isinstance(cause, BadStatusLine | LineTooLong | UnknownProtocol) and not isinstance(
        cause, RemoteDisconnected
    )


def _cause(error: HTTPError) -> BaseException:
    """The error that urllib3 wrapped."""
    last = error.args[-1] if isinstance(error, ProtocolError) and error.args else error
    return last if isinstance(last, BaseException) else error


def _retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    """Seconds after which to repeat the request to a busy server; None where it does not ask for that."""
    value = response.headers.get("Retry-After", "")
    if response.status != _BUSY_STATUS or not value.isascii() or not value.isdigit():
        return None
    return min(float(value), _LONGEST_PAUSE)
