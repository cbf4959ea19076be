"""Hypothesis strategies: submissions, commands on a job, and histories written by a real store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import LIFECYCLE, STOP_PENDING, TERMINAL, Trigger
from jobstate.domain.retry import RetryPolicy
from jobstate.domain.stop import StopMode
from jobstate.domain.validation import Json
from jobstate.testing.commands import BY_OPERATORS, BY_WORKERS, Command, Life
from jobstate.testing.staged_store import staged

KINDS: Final = ("extract", "load")
_WAITS: Final = (0.0, 0.0, 0.0, 1.0, 30.0, 300.0)
_LONGEST: Final = 12
_LONG_ENOUGH: Final = 300.0
"""Seconds; every retry is due after them."""
_VERB_OF: Final[Mapping[Trigger, str]] = {
    Trigger.SCHEDULE: "schedule",
    Trigger.CLAIM: "claim",
    Trigger.COMPLETE: "complete",
    Trigger.FAIL: "fail by an operator",
    Trigger.RECOVER: "fail",
    Trigger.RESCALE: "rescale",
    Trigger.RESUME: "rescaled",
    Trigger.RELEASE: "release",
    Trigger.REQUEST_STOP: f"stop {StopMode.CHECKPOINT}",
    Trigger.BEGIN_STOP: "begin_stop",
    Trigger.FINISH_STOP: "finish_stop",
    Trigger.HALT: f"stop {StopMode.FORCE}",
}
_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_LABEL: Final = st.text("abc-09", min_size=1, max_size=8)
_LEAVES: Final = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
)
_JSON: Final[st.SearchStrategy[Json]] = st.recursive(
    _LEAVES | _TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=6
)


class History(NamedTuple):
    """A job and its history."""

    job: Job
    events: Sequence[Event]


def jobs(
    kinds: Sequence[str] = KINDS, descriptors: st.SearchStrategy[dict[str, Any]] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """The arguments of `submit` for a job that any worker may claim, at once or after `schedule`.

    Args:
        kinds: What `kind` may be.
        descriptors: What `descriptor` may be; default any JSON object.
    """
    return st.fixed_dictionaries(
        {
            "kind": st.sampled_from(list(kinds)),
            "descriptor": st.dictionaries(_TEXT, _JSON, max_size=3) if descriptors is None else descriptors,
        },
        optional={
            "hold": st.booleans(),
            "labels": st.dictionaries(_LABEL, _LABEL, max_size=2),
            "priority": st.integers(-2, 2),
            "parallelism": st.integers(1, 4),
            "max_attempts": st.integers(1, 3),
            "retry": st.sampled_from([RetryPolicy(), RetryPolicy(initial=0), RetryPolicy(initial=10, factor=1)]),
        },
    )


def commands(verbs: Sequence[str] = (*BY_WORKERS, *BY_OPERATORS)) -> st.SearchStrategy[Command]:
    """A command with one of these verbs."""
    return st.builds(Command, st.sampled_from(list(verbs)), st.sampled_from(_WAITS))


def histories(most: int = _LONGEST) -> st.SearchStrategy[History]:
    """A job after up to `most` steps of the lifecycle, with the history that a store has written."""
    # From a seed: drawn step by step, lives are too similar, and half of the edges are never taken.
    return st.builds(_lived, jobs(), st.integers(0, 2**64 - 1), st.integers(0, most))


def _lived(fields: dict[str, Any], seed: int, length: int) -> History:
    chance = Random(seed)  # noqa: S311  (no secret)
    with staged() as stage:
        life = Life(stage, stage.store.submit(**fields).id)
        for step in range(1, length + 1):
            job = stage.store.get(life.job_id)
            row = LIFECYCLE[job.state]
            if not row:
                break
            # Only the last step may end the job, or stop a job without a worker: lives would be short and similar.
            last = TERMINAL if job.worker_id else TERMINAL | STOP_PENDING
            continuing = [trigger for trigger in row if row[trigger] not in last]
            trigger = chance.choice(continuing if continuing and step < length else list(row))
            Command(_VERB_OF[trigger], _LONG_ENOUGH if trigger is Trigger.CLAIM else 0.0).carry_out(life)
        return History(stage.store.get(life.job_id), stage.store.events(life.job_id))
