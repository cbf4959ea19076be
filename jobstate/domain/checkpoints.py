"""What a job restarts from: a checkpoint, and the progress it was taken at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from jobstate.domain import checked
from jobstate.domain.ranges import TableProgress

KEEP_CHECKPOINTS: Final = 10
"""How many completed checkpoints of a job are kept by default, newest first."""

Progress = Mapping[str, TableProgress]


class CheckpointState(StrEnum):
    """How far a checkpoint is."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point from which a job can go on. `epoch` grows through the job and those that restart it."""

    number: int
    job_id: int
    epoch: int
    status: CheckpointState
    token: int
    """The lease under which it was written."""
    start_us: int
    finish_us: int | None
    size_bytes: int
    state_json: str | None
    snapshot_json: str

    @property
    def id(self) -> str:
        """The name of the checkpoint, `chk_…`."""
        return f"chk_{self.number}"

    @property
    def state(self) -> Any:
        """What the worker stored in it, as JSON; None where it keeps its state elsewhere."""
        return None if self.state_json is None else json.loads(self.state_json)

    @property
    def progress(self) -> dict[str, TableProgress]:
        """The progress at the moment of the checkpoint, by table."""
        return progress_from_json(self.snapshot_json)

    @property
    def start_time(self) -> datetime:
        """When it was begun."""
        return checked.instant(self.start_us)

    @property
    def finish_time(self) -> datetime | None:
        """When it was completed or failed."""
        return None if self.finish_us is None else checked.instant(self.finish_us)


def progress_to_json(progress: Progress) -> str:
    """A snapshot of progress as it is stored."""
    tables: dict[str, Any] = {
        name: {"files_count": table.files_count, "total_size_bytes": table.total_size_bytes, "ranges": table.ranges}
        for name, table in progress.items()
    }
    return json.dumps({"progress": tables}, ensure_ascii=False)


def progress_from_json(stored: str) -> dict[str, TableProgress]:
    """The progress that `progress_to_json` stored."""
    return {
        name: TableProgress(
            table["files_count"], table["total_size_bytes"], tuple((first, last) for first, last in table["ranges"])
        )
        for name, table in json.loads(stored)["progress"].items()
    }
