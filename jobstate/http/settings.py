"""The settings of a server."""

from __future__ import annotations

from dataclasses import dataclass

from jobstate.domain.errors import InvalidRequest
from jobstate.wire.states import Dialect


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves.

    Attributes:
        dialect: The spelling of states: `docs` or `sdk`.
        token: The token that every request must have as `Authorization: Bearer TOKEN`, printable ASCII without spaces;
            None: requests need no token.
        local_names_only: Refuse requests whose Host is not a name of the loopback of this machine. Right for a server
            that listens there: it refuses a web page whose domain resolves to 127.0.0.1.
        body_limit: The largest body of a request, in bytes.
        sweep_every: Seconds between two sweeps.
        longest_wait: The most seconds that a request may wait for a job, and the default.
        stream_seconds: The most seconds of a stream of events; its reader connects again.
    """

    dialect: Dialect = Dialect.DOCS
    token: str | None = None
    local_names_only: bool = True
    body_limit: int = 2 * 1024 * 1024
    sweep_every: float = 1.0
    longest_wait: float = 30.0
    stream_seconds: float = 3600.0

    def __post_init__(self) -> None:
        token = self.token
        if token is not None and not (token.isascii() and token.isprintable() and token.split() == [token]):
            raise InvalidRequest("token", "must be printable ASCII text without spaces")
