"""A checked submission, and when a second one with the same key is the same job."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from jobstate.domain import validation
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State

TRACE_CONTEXT_KEY: Final = "otel"
"""Where in a descriptor the context of its submitter may be, for traces; it is no part of what the job is to do."""


class NewJob(NamedTuple):
    """A checked submission, every field in its stored form."""

    kind: str
    descriptor_json: str = "{}"
    node_id: str = ""
    key: str | None = None
    pipeline_id: str | None = None
    labels_json: str = "{}"
    priority: int = 0
    available_us: int | None = None
    """None: at once."""
    hold: bool = False
    parallelism: int = 1
    max_attempts: int = 3
    retry_json: str | None = None

    @property
    def state(self) -> State:
        """The state the job is born in."""
        return State.CREATED if self.hold else State.SCHEDULED


def same_submission(job: JobRow, new: NewJob) -> str | None:
    """None if `new` equals the live job that holds its key, else how the two differ."""
    if job.stop_mode is not None:
        return "a stop is pending"
    if job.kind != new.kind:
        return f"its kind is {job.kind!r}"
    if job.descriptor_json != new.descriptor_json and _differ(job.descriptor_json, new.descriptor_json):
        return "its descriptor differs"
    return None


def _differ(left: str, right: str) -> bool:
    read: Callable[[str], dict[str, Any]] = json.loads
    ours, theirs = ({**read(text), TRACE_CONTEXT_KEY: None} for text in (left, right))
    return validation.canonical(ours) != validation.canonical(theirs)
