"""Changed copies of the domain's values, whatever kind of frozen value they are."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, cast

from jobstate.domain.job import Job

Value = TypeVar("Value")


def replace(value: Value, **changes: Any) -> Value:
    """`value` with some fields changed."""
    if isinstance(value, Job):
        return cast("Value", value._replace(**changes))
    return cast("Value", dataclasses.replace(cast("Any", value), **changes))
