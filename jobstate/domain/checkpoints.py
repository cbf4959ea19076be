"""What a job restarts from: a checkpoint, and the progress it was taken at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from jobstate.domain import metrics, validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.metrics import SubtaskMetrics
from jobstate.domain.progress import TableProgress
from jobstate.domain.validation import Json

KEEP_CHECKPOINTS: Final = 10
"""How many completed checkpoints of a job are kept by default, newest first."""

MAX_LOCATION: Final = 4096
MAX_SUBTASKS: Final = 1_000_000

Progress = Mapping[str, TableProgress]


class CheckpointState(StrEnum):
    """How far a checkpoint is."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OperatorState:
    """What one operator of the job keeps in a checkpoint. Sizes are in bytes."""

    operator_id: str
    state_size: int
    operator_name: str | None = None
    subtasks: Mapping[int, int] = field(default_factory=dict)
    """The size of each subtask's part, by its index."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point from which a job can go on. `epoch` grows through the job and those that restart it.

    It is begun, which fixes the progress that it covers, and then completed or failed. One that was begun and not
    completed when its lease ended is failed.
    """

    number: int
    job_id: int
    epoch: int
    status: CheckpointState
    token: int
    """The lease under which it was written."""
    start_us: int
    finish_us: int | None
    size_bytes: int
    backend: str | None
    """What keeps the state, where that is not the store itself."""
    location: str | None
    """Where it is kept there."""
    failure: str | None
    """Why it failed."""
    operators_json: str | None
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
    def operator_states(self) -> tuple[OperatorState, ...]:
        """What each operator keeps in it, in the order given."""
        return () if self.operators_json is None else operators_from_json(self.operators_json)

    @property
    def progress(self) -> dict[str, TableProgress]:
        """The progress at the moment the checkpoint was begun, by table."""
        return progress_from_json(self.snapshot_json)

    def counted(self, at_us: int) -> tuple[SubtaskMetrics, ...]:
        """What the operators had counted at that moment, as the beginning of a run at `at_us`."""
        return tuple(metrics.from_plain(json.loads(self.snapshot_json).get("metrics", ()), at_us))

    @property
    def start_time(self) -> datetime:
        """When it was begun."""
        return validation.instant(self.start_us)

    @property
    def finish_time(self) -> datetime | None:
        """When it was completed or failed."""
        return None if self.finish_us is None else validation.instant(self.finish_us)


def operators_to_json(operators: Iterable[OperatorState]) -> str | None:
    """The states of operators in their stored form; InvalidRequest for anything else."""
    stored = [_operator_json(f"operators[{number}]", operator) for number, operator in enumerate(operators)]
    return json.dumps(stored, ensure_ascii=False) if stored else None


def operators_from_json(stored: str) -> tuple[OperatorState, ...]:
    """The states that `operators_to_json` stored."""
    return tuple(OperatorState(name, size, label, dict(parts)) for name, size, label, parts in json.loads(stored))


def _operator_json(place: str, operator: OperatorState) -> list[Any]:
    if not isinstance(operator, OperatorState):
        raise InvalidRequest(place, f"must be an OperatorState, not {operator!r}")
    if not isinstance(operator.subtasks, Mapping):
        raise InvalidRequest(f"{place}.subtasks", f"must be a dict of sizes by index, not {operator.subtasks!r}")
    name = operator.operator_name
    return [
        validation.text(f"{place}.operator_id", operator.operator_id),
        validation.integer(f"{place}.state_size", operator.state_size, 0, validation.MAX_ID),
        None if name is None else validation.text(f"{place}.operator_name", name),
        sorted(
            [
                validation.integer(f"{place}.subtasks", index, 0, MAX_SUBTASKS),
                validation.integer(f"{place}.subtasks[{index}]", size, 0, validation.MAX_ID),
            ]
            for index, size in operator.subtasks.items()
        ),
    ]


def check_open(checkpoint: Checkpoint, token: int, wanted: CheckpointState) -> None:
    """Raise InvalidRequest unless this lease has the checkpoint in progress, or it has the wanted end already."""
    if checkpoint.token != token:
        raise InvalidRequest(
            "checkpoint", f"{checkpoint.id} was begun by another run of the job; begin one of this run"
        )
    if checkpoint.status not in (CheckpointState.IN_PROGRESS, wanted):
        raise InvalidRequest("checkpoint", f"{checkpoint.id} is {checkpoint.status}; begin another one")


class CheckpointDetails(NamedTuple):
    """The details of a checkpoint in their stored form; None: as given before, or absent."""

    state_json: str | None = None
    size_bytes: int | None = None
    backend: str | None = None
    location: str | None = None
    operators_json: str | None = None


def point(
    limit: int,
    state: Json = None,
    size_bytes: int | None = None,
    backend: str | None = None,
    location: str | None = None,
    operators: Iterable[OperatorState] = (),
) -> CheckpointDetails:
    """Checked details of a checkpoint; InvalidRequest names an argument that is not as `Run.checkpoint` describes."""
    states = validation.several("operators", operators, "OperatorState")
    state_json = None if state is None else validation.json_text("state", state, limit)
    operators_json = operators_to_json(states)
    if size_bytes is None and (state_json is not None or states):
        size_bytes = len((state_json or "").encode()) + sum(operator.state_size for operator in states)
    return CheckpointDetails(
        state_json,
        None if size_bytes is None else validation.integer("size_bytes", size_bytes, 0, validation.MAX_ID),
        None if backend is None else validation.text("backend", backend),
        None if location is None else validation.text("location", location, MAX_LOCATION),
        operators_json,
    )


def snapshot_to_json(progress: Progress, counted: Sequence[SubtaskMetrics] = ()) -> str:
    """Progress and counters as a checkpoint keeps them."""
    tables: dict[str, Any] = {
        name: {"files_count": table.files_count, "total_size_bytes": table.total_size_bytes, "ranges": table.ranges}
        for name, table in progress.items()
    }
    stored: dict[str, Any] = {"progress": tables}
    if counted:
        stored["metrics"] = metrics.to_plain(counted)
    return json.dumps(stored, ensure_ascii=False)


def progress_from_json(stored: str) -> dict[str, TableProgress]:
    """The progress in a snapshot that `snapshot_to_json` made."""
    return {
        name: TableProgress(
            table["files_count"], table["total_size_bytes"], tuple((first, last) for first, last in table["ranges"])
        )
        for name, table in json.loads(stored)["progress"].items()
    }
