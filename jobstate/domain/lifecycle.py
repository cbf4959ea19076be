"""The lifecycle of a job: the only place that defines which state may follow which.

To know what can happen to a job in some state, read its row in `LIFECYCLE`. A terminal state is visible as `{}`.
Everything else here is computed from that table, from `LEASE_EFFECT`, which says what each trigger does to the lease,
and from `AUTHORITY`, which says who may pull it. The database guards, the `WHERE state IN (…)` of every statement, the
README's table and diagram, and the expectations of the tests are computed from the same three declarations.

Theory of operation. A condition never hides in the table: it chooses the trigger. Whether a failed run is retried
chooses `recover` or `fail`; the mode of a stop chooses `request_stop` or `halt`. The table then says where the
trigger leads, or that it may not happen here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal


class State(StrEnum):
    """The state of a job. The value is the spelling that the database stores."""

    CREATED = "Created"
    """Held: not in the queue until an operator schedules it."""
    SCHEDULED = "Scheduled"
    """In the queue, waiting for a worker."""
    RUNNING = "Running"
    """A worker holds the lease and works."""
    RESCALING = "Rescaling"
    """The worker was asked to change its parallelism."""
    RECOVERING = "Recovering"
    """The last run failed; waits for its retry time."""
    STOP_REQUESTED = "StopRequested"
    """The wish to stop is stored."""
    STOPPING = "Stopping"
    """The worker agreed to stop."""
    STOPPED = "Stopped"
    """Ended by a stop."""
    COMPLETED = "Completed"
    """Ended by success."""
    FAILED = "Failed"
    """Ended by failure."""


class Trigger(StrEnum):
    """What moves a job from one state to the next."""

    SCHEDULE = "schedule"
    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    RECOVER = "recover"
    RESCALE = "rescale"
    RESUME = "resume"
    RELEASE = "release"
    REQUEST_STOP = "request_stop"
    BEGIN_STOP = "begin_stop"
    FINISH_STOP = "finish_stop"
    HALT = "halt"


class LeaseEffect(StrEnum):
    """What a trigger does to the lease of a job."""

    TAKES = "takes"
    """The job gets a holder; the token rises."""
    KEEPS = "keeps"
    """Holder and token stay as they are."""
    ENDS = "ends"
    """The holder ends the job itself; the token stays, so that its repeated call is recognised."""
    LOSES = "loses"
    """The lease is taken away or given back; the token rises, so that its last holder is fenced."""


class Authority(StrEnum):
    """Who may pull a trigger: the holder of the lease, which presents its token, or anyone else, who presents none."""

    HOLDER = "the holder"
    OTHERS = "anyone, without a token"
    EITHER = "the holder, and anyone without a token"
    """The token stays when the holder does it, and rises when anyone else does."""
    HOLDER_UNTIL_EXPIRY = "the holder, and anyone once the lease has expired"
    HOLDER_IF_ANY = "the holder, and anyone while no worker holds the job"


LIFECYCLE: Final[Mapping[State, Mapping[Trigger, State]]] = MappingProxyType(
    {
        State.CREATED: {
            Trigger.SCHEDULE: State.SCHEDULED,  # an operator lets it into the queue
            Trigger.HALT: State.STOPPED,  # no worker is involved
        },
        State.SCHEDULED: {
            Trigger.CLAIM: State.RUNNING,  # a worker takes the lease
            Trigger.FAIL: State.FAILED,  # an operator gave it up
            Trigger.REQUEST_STOP: State.STOP_REQUESTED,  # the next claim, sweep, heartbeat or wait finishes it
            Trigger.HALT: State.STOPPED,  # stopped by force
        },
        State.RUNNING: {
            Trigger.COMPLETE: State.COMPLETED,  # the worker finished
            Trigger.FAIL: State.FAILED,  # not retryable, attempts spent, or an operator gave it up
            Trigger.RECOVER: State.RECOVERING,  # retryable failure, or the lease ran out
            Trigger.RESCALE: State.RESCALING,  # an operator wants another parallelism
            Trigger.RELEASE: State.SCHEDULED,  # the worker hands it back, uncharged
            Trigger.REQUEST_STOP: State.STOP_REQUESTED,  # the worker still holds the lease
            Trigger.HALT: State.STOPPED,  # stopped by force
        },
        State.RESCALING: {
            Trigger.COMPLETE: State.COMPLETED,
            Trigger.FAIL: State.FAILED,
            Trigger.RECOVER: State.RECOVERING,
            Trigger.RESUME: State.RUNNING,  # the worker runs with the new parallelism
            Trigger.RELEASE: State.SCHEDULED,
            Trigger.REQUEST_STOP: State.STOP_REQUESTED,  # the stop wins, the target is dropped
            Trigger.HALT: State.STOPPED,
        },
        State.RECOVERING: {
            Trigger.CLAIM: State.RUNNING,  # its retry time came
            Trigger.FAIL: State.FAILED,  # an operator gave it up
            Trigger.HALT: State.STOPPED,  # no worker is involved
        },
        State.STOP_REQUESTED: {
            Trigger.COMPLETE: State.COMPLETED,  # completion beats a stop
            Trigger.FAIL: State.FAILED,
            Trigger.BEGIN_STOP: State.STOPPING,  # the worker agrees
            Trigger.HALT: State.STOPPED,  # by force, past the deadline, or the lease was lost
        },
        State.STOPPING: {
            Trigger.COMPLETE: State.COMPLETED,
            Trigger.FAIL: State.FAILED,
            Trigger.FINISH_STOP: State.STOPPED,  # the worker is done stopping
            Trigger.HALT: State.STOPPED,
        },
        State.STOPPED: {},  # the end
        State.COMPLETED: {},  # the end
        State.FAILED: {},  # the end
    }
)

LEASE_EFFECT: Final[Mapping[Trigger, LeaseEffect]] = MappingProxyType(
    {
        Trigger.SCHEDULE: LeaseEffect.KEEPS,
        Trigger.CLAIM: LeaseEffect.TAKES,
        Trigger.COMPLETE: LeaseEffect.ENDS,
        Trigger.FAIL: LeaseEffect.ENDS,  # and LOSES when anyone but the holder fails the job
        Trigger.RECOVER: LeaseEffect.LOSES,
        Trigger.RESCALE: LeaseEffect.KEEPS,
        Trigger.RESUME: LeaseEffect.KEEPS,
        Trigger.RELEASE: LeaseEffect.LOSES,
        Trigger.REQUEST_STOP: LeaseEffect.KEEPS,
        Trigger.BEGIN_STOP: LeaseEffect.KEEPS,
        Trigger.FINISH_STOP: LeaseEffect.ENDS,
        Trigger.HALT: LeaseEffect.LOSES,
    }
)

AUTHORITY: Final[Mapping[Trigger, Authority]] = MappingProxyType(
    {
        Trigger.SCHEDULE: Authority.OTHERS,
        Trigger.CLAIM: Authority.OTHERS,
        Trigger.COMPLETE: Authority.HOLDER,
        Trigger.FAIL: Authority.EITHER,
        Trigger.RECOVER: Authority.HOLDER_UNTIL_EXPIRY,
        Trigger.RESCALE: Authority.OTHERS,
        Trigger.RESUME: Authority.HOLDER,
        Trigger.RELEASE: Authority.HOLDER,
        Trigger.REQUEST_STOP: Authority.OTHERS,
        Trigger.BEGIN_STOP: Authority.HOLDER_IF_ANY,
        Trigger.FINISH_STOP: Authority.HOLDER_IF_ANY,
        Trigger.HALT: Authority.OTHERS,
    }
)
EITHER_WAY: Final = frozenset(trigger for trigger, who in AUTHORITY.items() if who is Authority.EITHER)
"""Triggers that end the lease when its holder fires them, and fence the holder when anyone else does."""
NOTED: Final = frozenset({Trigger.RESUME, Trigger.RESCALE, Trigger.REQUEST_STOP})
"""Triggers that also write a note, an entry without a change of state: a request that changed, or its answer."""

INITIAL: Final = (State.CREATED, State.SCHEDULED)
"""A job is born held, or in the queue."""

EDGES: Final[tuple[tuple[State, Trigger, State], ...]] = tuple(
    (source, trigger, target) for source, row in LIFECYCLE.items() for trigger, target in row.items()
)


def sources(trigger: Trigger) -> frozenset[State]:
    """The states in which `trigger` may be pulled."""
    return frozenset(source for source, row in LIFECYCLE.items() if trigger in row)


def _closure(start: Iterable[State], effect: LeaseEffect) -> frozenset[State]:
    """`start` and every state that triggers with this effect lead to from there."""
    reached = set(start)
    while True:
        further = {target for source, trigger, target in EDGES if source in reached and LEASE_EFFECT[trigger] is effect}
        if further <= reached:
            return frozenset(reached)
        reached |= further


def _targets(effect: LeaseEffect) -> set[State]:
    return {target for _, trigger, target in EDGES if LEASE_EFFECT[trigger] is effect}


TERMINAL: Final = frozenset(state for state, row in LIFECYCLE.items() if not row)
LIVE: Final = frozenset(LIFECYCLE) - TERMINAL
CLAIMABLE: Final = sources(Trigger.CLAIM)
LEASED: Final = _closure(_targets(LeaseEffect.TAKES), LeaseEffect.KEEPS)
"""States in which a worker may hold the lease, and in which alone the verbs of a worker apply."""
HELD: Final = LEASED - _closure({*INITIAL, *_targets(LeaseEffect.LOSES)}, LeaseEffect.KEEPS)
"""Leased states that only a held job reaches: here there always is a holder."""
STOP_PENDING: Final = frozenset(t for _, trigger, t in EDGES if trigger in (Trigger.REQUEST_STOP, Trigger.BEGIN_STOP))
"""A stop was asked for and has not ended yet."""

_GROUPS: Final[Mapping[str, frozenset[State]]] = {
    "active": LIVE,
    "all": frozenset(State),
    "terminal": TERMINAL,
    "error": frozenset({State.FAILED}),
}
_WORDS: Final[Mapping[str, frozenset[State]]] = {**{s.lower(): frozenset({s}) for s in State}, **_GROUPS}
STATE_WORDS: Final = (*_GROUPS, *(state.value for state in State))


StateWord = Literal[
    "active",
    "all",
    "terminal",
    "error",
    "created",
    "scheduled",
    "running",
    "rescaling",
    "recovering",
    "stop_requested",
    "stopping",
    "stopped",
    "completed",
    "failed",
]
"""The filter words as an editor completes them; `states_named` takes any case, and `-` for `_`."""


def states_named(word: str) -> frozenset[State] | None:
    """The states that a filter word selects, or None for a word that is none. Case, `-` and `_` do not matter."""
    return _WORDS.get(word.strip().lower().replace("-", "").replace("_", ""))
