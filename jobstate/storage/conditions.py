"""What is said of rows in more than one place, as SQL: conditions of partial indexes, and the shape of each state."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from jobstate.domain.invariants import SHAPE, TOGETHER
from jobstate.domain.lifecycle import CLAIMABLE, LEASED, State
from jobstate.domain.logs import TROUBLE
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.storage.columns import column_of
from jobstate.storage.compiled import equals_one

OVERDUE_AT: Final = (
    "CASE WHEN worker_id IS NULL THEN 0 ELSE min(lease_expires_at, coalesce(stop_deadline_at, lease_expires_at)) END"
)
"""When somebody has to settle a job in a leased state: at once where nobody holds it."""
IS_CLAIMABLE: Final = equals_one("state", CLAIMABLE)
IS_LEASED: Final = equals_one("state", LEASED)
IS_LIVE: Final = "finished_at IS NULL"
IS_ENDED: Final = "finished_at IS NOT NULL"
IS_TROUBLE: Final = equals_one("level", TROUBLE)
"""The conditions of the partial indexes. A statement uses one only when it contains the same text.

A row has a finish time exactly when its state is terminal: the guards see to it.
"""


_FREQUENT: Final = (State.RUNNING, State.COMPLETED, State.SCHEDULED)
_ORDER: Final = (*_FREQUENT, *(state for state in State if state not in _FREQUENT))
_WORDS: Final = (("stop_mode", StopMode), ("stop_outcome", StopOutcome))


def shape_condition(row: str = "", states: Collection[State] = _ORDER) -> str:
    """What every row must fulfil, as SQL; `row` is a prefix such as `NEW.`.

    For each state its own row of comparisons, the frequent ones first: SQLite leaves such a condition at the first
    comparison that decides it. A list behind `IN` would be built anew at every write.
    """
    fits = [f"{row}state = '{state}'{''.join(_presence(state, row))}" for state in _ORDER if state in states]
    counts = (
        f"{row}failures BETWEEN 0 AND {row}attempt AND {row}attempt <= {row}lease_token AND {row}clean BETWEEN 0 AND 1"
    )
    return f"({' OR '.join(fits)}) AND {counts}"


def _presence(state: State, row: str) -> Iterator[str]:
    """What must be there in a state and what must not; and of what may be, whether it fits the rest."""
    maybe = set()
    for field, required, allowed in SHAPE:
        column = f"{row}{column_of(field)}"
        if state in required:
            yield f" AND {column} IS NOT NULL"
        elif state not in allowed:
            yield f" AND {column} IS NULL"
        else:
            maybe.add(field)
        for name, words in _WORDS:
            if field == name and state in allowed:
                known = equals_one(column, words)
                yield f" AND {known}" if state in required else f" AND ({column} IS NULL OR {known})"
    for left, right in TOGETHER:
        if maybe & {left, right}:
            yield f" AND ({row}{column_of(left)} IS NULL) = ({row}{column_of(right)} IS NULL)"
