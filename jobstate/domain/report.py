"""What a worker reports about its job at one time, to be written together."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from jobstate.domain.checkpoints import Progress
from jobstate.domain.logs import KEEP_ERRORS, KEEP_LOGS, LogEntry
from jobstate.domain.metrics import SubtaskMetrics
from jobstate.domain.output import KEEP_OUTPUT, OutputRow


class Bounds(NamedTuple):
    """How many log entries and output rows a job keeps, newest first."""

    logs: int = KEEP_LOGS
    errors: int = KEEP_ERRORS
    output: int = KEEP_OUTPUT


DEFAULT_BOUNDS: Final = Bounds()


class Report(NamedTuple):
    """Absolute numbers by table and by subtask, and numbered entries: writing a report twice changes nothing."""

    progress: Progress = MappingProxyType({})
    metrics: Sequence[SubtaskMetrics] = ()
    logs: Sequence[LogEntry] = ()
    output: Sequence[OutputRow] = ()
    bounds: Bounds = DEFAULT_BOUNDS

    def __bool__(self) -> bool:
        return bool(self.progress or self.metrics or self.logs or self.output)

    @property
    def counts_as_work(self) -> bool:
        """Whether it makes the newest checkpoint outdated; log entries and samples do not."""
        return bool(self.progress or self.metrics)


NOTHING: Final = Report()
