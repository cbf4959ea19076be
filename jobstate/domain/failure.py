"""Why a job, or one run of it, failed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jobstate.domain import validation


class FailureKind(StrEnum):
    """Whether a failure may be tried again."""

    ERROR = "error"
    FATAL = "fatal"


MAX_FAILURE_TEXT: Final = 64 * 1024


MAX_SUMMARY: Final = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run or a job failed.

    Attributes:
        message: What went wrong, in one text.
        kind: `error` may be tried again, `fatal` not.
        domain: Where it comes from: the exception's type, `lease` for a lost lease, `operator`.
        traceback: The traceback of the handler, where there was one; the newest 64 KiB of it.
    """

    message: str
    kind: FailureKind = FailureKind.ERROR
    domain: str | None = None
    traceback: str | None = None

    @property
    def summary(self) -> str:
        """The message as the history records it: storable, and not longer than a kilobyte or so."""
        return validation.storable(self.message, MAX_SUMMARY)

    def to_json(self) -> str:
        """The failure as it is stored."""
        tail = (
            None
            if self.traceback is None
            else validation.storable(self.traceback[-MAX_FAILURE_TEXT:], MAX_FAILURE_TEXT)
        )
        message = validation.storable(self.message, MAX_FAILURE_TEXT)
        domain = None if self.domain is None else validation.storable(self.domain, validation.MAX_TEXT)
        return json.dumps(
            {"message": message, "kind": self.kind.value, "domain": domain, "traceback": tail},
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, stored: str) -> Failure:
        """The failure that `to_json` stored."""
        fields = json.loads(stored)
        return cls(fields["message"], FailureKind(fields["kind"]), fields["domain"], fields["traceback"])
