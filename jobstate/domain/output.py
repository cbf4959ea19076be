"""Samples of the output of a job, for a preview while it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from jobstate.domain import validation

KEEP_OUTPUT: Final = 1_000
"""How many rows of each operator are kept by default, newest first."""
MAX_ROW: Final = 65_536
_SHOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class OutputRow:
    """One row that an operator emitted. `number` grows with every row of that operator, by one."""

    operator_id: str
    number: int
    at_us: int
    record_json: str

    @property
    def time(self) -> datetime:
        """When it was emitted."""
        return validation.instant(self.at_us)

    @property
    def record(self) -> Any:
        """The row, as JSON."""
        return json.loads(self.record_json)


def record_text(record: object) -> str:
    """A row in its stored form. A sample that is too large keeps its beginning: its size never fails a job.

    Raises:
        InvalidRequest: It holds a value that JSON cannot express.
    """
    stored = validation.json_text("record", record, validation.MAX_ID)
    size = len(stored.encode())
    if size <= MAX_ROW:
        return stored
    return json.dumps({"truncated": stored[:_SHOWN], "size_bytes": size}, ensure_ascii=False)
