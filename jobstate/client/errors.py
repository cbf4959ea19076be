"""Errors between a client and its server; any other error is the one that the store raised there."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from jobstate.domain.errors import JobStateError

_PASSING: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses of a proxy while the server behind it is away."""
_STEPS: Final = {
    HTTPStatus.UNAUTHORIZED: "give the server's token: JOBSTATE_AUTH_TOKEN, --auth-token FILE, or token= in Python",
}


class ServerUnreachable(JobStateError):
    """No server answers at this URL, or the connection broke. `problem` says what happened."""

    retryable = True
    code: Final = "SERVER_UNREACHABLE"

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(url, problem)
        self.url = url
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.url}: {self.problem}; start `jobstate serve` there, or check --admin-url"


class UnexpectedAnswer(JobStateError):
    """The answer of the server is not one that this version understands.

    `status` is that of HTTP, None where the answer was not HTTP; `code` is the server's own, None where it gave none.
    `retryable` is True for a passing state, such as a proxy whose server is away.
    """

    def __init__(self, url: str, status: int | None, code: str | None, message: str) -> None:
        super().__init__(url, status, code, message)
        self.url = url
        self.status = status
        self.code = code
        self.message = message
        self.retryable = status in _PASSING

    def __str__(self) -> str:
        answer = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        step = _STEPS.get(HTTPStatus(self.status)) if self.status in _STEPS else None
        if step is None and self.code is None:
            step = "is this the address of a `jobstate serve`?"
        return f"{self.url}: {answer + ': ' if answer else ''}{self.message}{'; ' + step if step else ''}"
