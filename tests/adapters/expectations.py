"""What each verb and each word for states is to do, worked out from the lifecycle's table and the wire's vocabulary."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import jobstate
from jobstate import State
from jobstate.domain.errors import TransitionNotAllowed
from jobstate.domain.lifecycle import LIFECYCLE, LIVE, STATE_WORDS, STOP_PENDING, TERMINAL, Trigger
from jobstate.testing.contract.situations import Entry, everything
from jobstate.wire.states import Dialect, spelled

AGE: Final = timedelta(minutes=2)
"""How much older half of the jobs are; no stop is past its deadline by then."""
QUEUED: Final = LIFECYCLE[State.CREATED][Trigger.SCHEDULE]
GROUPS: Final = {
    "active": LIVE,
    "all": frozenset(State),
    "terminal": TERMINAL,
    "error": frozenset(state for state in State if spelled(state, Dialect.AMPCTL) == "ERROR"),
}
LIVE_WORDS: Final = sorted(
    word for word in {*STATE_WORDS, *GROUPS} if not GROUPS.get(word, frozenset({word})) <= TERMINAL
)
NO_WORDS: Final = ("", ",", "running,", ",running", "running,,stopped", "busy", "runing", "run ning", "all,none", "*")


def after_stop(state: State) -> State:
    """Where a request to stop leads: on the way to a stop, or straight to it where no worker has the job."""
    row = LIFECYCLE[state]
    unchanged = state in TERMINAL | STOP_PENDING
    return state if unchanged else row.get(Trigger.REQUEST_STOP, row.get(Trigger.HALT, state))


def by_id(store: jobstate.JobStore) -> dict[int, Entry]:
    """All that the store holds, by job."""
    return {entry.job.id: entry for entry in everything(store)}


def plain(word: str) -> str:
    return word.strip().lower().replace("_", "").replace("-", "")


def wanted(word: str, dialect: Dialect) -> frozenset[State]:
    """What a filter word selects: what the dialect shows so, else a group, else exactly the state of that name."""
    shown, foreign = (
        frozenset(state for state in State if plain(spelled(state, spelling)) == plain(word))
        for spelling in (dialect, Dialect.PIPELINE)
    )
    named = frozenset(state for state in State if plain(state) == plain(word))
    return shown or GROUPS.get(plain(word)) or named or foreign


def known_words(dialect: Dialect) -> list[str]:
    """Every filter word of the dialect, in one spelling."""
    spelled_so = [spelled(state, spelling) for state in State for spelling in (dialect, Dialect.PIPELINE)]
    words = [*GROUPS, *spelled_so, *(state.value for state in State)]
    return list({plain(word): word for word in words}.values())


def spellings(word: str) -> set[str]:
    """The word, as it may be written just as well."""
    parts = "".join(f"_{letter}" if letter.isupper() else letter for letter in word).strip("_")
    return {word, word.upper(), word.lower(), parts.lower(), parts.upper().replace("_", "-"), f" {word} "}


def not_allowed(job_id: int, state: State, trigger: Trigger) -> TransitionNotAllowed:
    return TransitionNotAllowed(job_id, state, trigger, LIFECYCLE[state])
