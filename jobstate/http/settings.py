"""How a server behaves, apart from what it serves."""

from __future__ import annotations

from dataclasses import dataclass

from jobstate.domain.errors import InvalidRequest
from jobstate.wire.states import Dialect


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves.

    Attributes:
        dialect: How states are spelled: `docs` or `sdk`.
        token: What every request must carry as `Authorization: Bearer TOKEN`, printable ASCII without spaces; None:
            no token is asked for.
        local_names_only: Refuse requests whose Host is not a name of this machine's loopback, as is right for a
            server that listens there: a web page that resolves its own name to 127.0.0.1 is turned away.
        body_limit: The largest body of a request, in bytes.
        sweep_every: Seconds between two sweeps.
        longest_wait: How long a request may wait for a job at most, and does unless it says otherwise, in seconds.
        stream_seconds: How long a stream of events lasts at most; its reader connects again.
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
