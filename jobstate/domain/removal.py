"""What may be deleted: jobs that have ended, and no others."""

from __future__ import annotations

from jobstate.domain.errors import InvalidRequest, JobNotTerminal
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import TERMINAL, State, states_named

PRUNE_WORDS = ("terminal", *sorted(state.value.lower() for state in TERMINAL), "error")


def check_deletable(job: Job) -> None:
    """JobNotTerminal for a live job. The row is judged as it stands: nothing is settled to make it deletable."""
    if not job.is_terminal:
        raise JobNotTerminal(job.id, job.state)


def prunable(status: str | State) -> frozenset[State]:
    """The states that a prune filter selects: `terminal`, `completed`, `stopped`, `error` (or `failed`)."""
    selected = states_named(status) if isinstance(status, str) else None
    if not selected or not selected <= TERMINAL:
        raise InvalidRequest("status", f"must be one of {', '.join(PRUNE_WORDS)}, not {status!r}; live jobs are kept")
    return selected
