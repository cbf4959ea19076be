"""Assertions about a staged store, whose failures show what they found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from jobstate.core.arguments import JobRef
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.store.job_store import JobStore
from jobstate.testing.histories import ARROW, history, path_of
from jobstate.testing.job_states import one_state
from jobstate.testing.staged_store import stage_of

_EXPECTED: Final = "  expected  "
_FOUND: Final = "  found     "
_SUBMITTED: Final = (
    *("descriptor", "labels", "key", "pipeline_id", "node_id", "priority", "parallelism", "max_attempts"),
    *("available_at", "retry"),
)


def assert_history(job: JobRef, expected: str, *, store: JobStore | None = None) -> None:
    """The job passed through exactly these states since its submission: `Created -> Scheduled -> Running`.

    Notes, which change no state, do not count.
    """
    __tracebackhide__ = True
    seen = stage_of(store).direct
    wanted = [one_state("expected", name.strip()).value for name in expected.split("->")]
    events = seen.events(job)
    found = path_of(events)
    if found == wanted:
        return
    same = next((n for n, (one, other) in enumerate(zip(found, wanted, strict=False)) if one != other), None)
    same = min(len(found), len(wanted)) if same is None else same
    before = len(ARROW.join(found[:same])) + (len(ARROW) if same else 0)
    lines = [
        "the history differs",
        _EXPECTED + ARROW.join(wanted),
        _FOUND + ARROW.join(found),
        " " * (len(_FOUND) + before) + "^",
        *history(seen.get(job), events),
    ]
    raise AssertionError("\n".join(lines))


def assert_submitted(kind: str, *, times: int | None = None, store: JobStore | None = None, **fields: Any) -> Job:
    """A job of this kind was submitted with these arguments of `submit`; other arguments may have any value.

    Args:
        kind: The kind.
        times: How many such jobs there are; None: at least one.
        store: A staged store; default the one that was staged last.
        fields: `descriptor`, `key`, `labels` and so on, each compared as a whole.

    Returns:
        The newest such job.
    """
    __tracebackhide__ = True
    unknown = sorted(set(fields) - set(_SUBMITTED))
    if unknown:
        raise InvalidRequest(unknown[0], f"is none of {', '.join(_SUBMITTED)}")
    others = list(stage_of(store).direct.iterate("all"))
    of_kind = [job for job in others if job.kind == kind]
    found = [job for job in of_kind if not any(_differences(job, fields))]
    if found and times in (None, len(found)):
        return found[0]
    call = ", ".join([repr(kind), *(f"{name}={value!r}" for name, value in fields.items())])
    wanted = "no job" if times is None else f"{len(found)} jobs instead of {times}"
    lines = [f"{wanted} was submitted as {call}" if times is None else f"{wanted} were submitted as {call}"]
    lines += [f"  job {job.id}: {', '.join(_differences(job, fields)) or 'matches'}" for job in of_kind]
    if not of_kind:
        kinds = ", ".join(sorted({job.kind for job in others})) or "none at all"
        lines.append(f"  the kinds that were submitted: {kinds}")
    raise AssertionError("\n".join(lines))


def assert_none_live(*, store: JobStore | None = None) -> None:
    """Every job has ended."""
    __tracebackhide__ = True
    seen = stage_of(store).direct
    live = list(seen.iterate("active"))
    if live:
        lines = [f"live jobs: {len(live)}"]
        for job in live:
            lines += history(job, seen.events(job))
        raise AssertionError("\n".join(lines))


def assert_no_leaks(*, store: JobStore | None = None) -> None:
    """Nothing is left behind: no lease, no registered worker, no open transaction, and the audit finds nothing."""
    __tracebackhide__ = True
    found = list(_leaks(stage_of(store).direct))
    if found:
        raise AssertionError("\n".join(["something was left behind", *(f"  {leak}" for leak in found)]))


def _leaks(seen: JobStore) -> Iterator[str]:
    if seen.repository.in_transaction():
        yield "a transaction is open"
    for worker in seen.workers():
        yield f"worker {worker.node_id} is registered"
    for job in seen.iterate("all"):
        if job.worker_id is not None:
            yield f"{job!r} is held until {job.lease_expires_at}"
    yield from (f"the audit found {finding}" for finding in seen.audit().findings)


def _differences(job: Job, fields: dict[str, Any]) -> Iterator[str]:
    for name, wanted in fields.items():
        found = getattr(job, name)
        if _compared(found) != _compared(wanted):
            yield f"{name}={found!r}"


def _compared(value: Any) -> Any:
    """Descriptors and labels as their stored JSON."""
    return validation.canonical(json.loads(json.dumps(value))) if isinstance(value, dict) else value
