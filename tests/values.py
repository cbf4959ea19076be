"""Changed copies of the domain's values, whatever kind of frozen value they are."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, cast

from jobstate.domain.job import Job, row_of
from jobstate.domain.job_row import JobRow

Value = TypeVar("Value")


def replace(value: Value, **changes: Any) -> Value:
    """`value` with some fields changed."""
    if isinstance(value, JobRow):
        return cast("Value", value._replace(**changes))
    if isinstance(value, Job):
        return cast("Value", Job(row_of(value)._replace(**changes)))
    return cast("Value", dataclasses.replace(cast("Any", value), **changes))
