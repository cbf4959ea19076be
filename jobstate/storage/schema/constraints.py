"""Conditions on rows as SQL: those of the partial indexes and the shape of each state; then indexes and views."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from jobstate.domain.invariants import SHAPE, TOGETHER
from jobstate.domain.lifecycle import CLAIMABLE, LEASED, STOP_PENDING, State
from jobstate.domain.logs import TROUBLE
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.storage.mapping import column_of


def quoted(value: str) -> str:
    """A constant as SQL text."""
    return "'" + value.replace("'", "''") + "'"


def listed(values: Iterable[str]) -> str:
    """Constants as SQL text, `('A', 'B')`."""
    return f"({', '.join(sorted(quoted(str(value)) for value in values))})"


def equals_one(column: str, values: Iterable[str]) -> str:
    """The same as `column IN (…)`, as comparisons, in one order everywhere, so that equal conditions read the same.

    For a list of three or more SQLite builds a temporary table at every execution, which costs more than the rest.
    """
    return f"({' OR '.join(f'{column} = {quoted(str(value))}' for value in sorted(values))})"


OVERDUE_AT: Final = (
    "CASE WHEN worker_id IS NULL THEN 0 ELSE min(lease_expires_at, coalesce(stop_deadline_at, lease_expires_at)) END"
)
"""When a job in a leased state is overdue for settling: at once where no worker holds it."""
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
    """The condition that every row fulfils, as SQL; `row` is a prefix such as `NEW.`.

    For each state its own row of comparisons, the frequent ones first: SQLite leaves such a condition at the first
    comparison that decides it. A list behind `IN` would be built anew at every write.
    """
    fits = [f"{row}state = '{state}'{''.join(_presence(state, row))}" for state in _ORDER if state in states]
    counts = (
        f"{row}failures BETWEEN 0 AND {row}attempt AND {row}attempt <= {row}lease_token AND {row}clean BETWEEN 0 AND 1"
    )
    return f"({' OR '.join(fits)}) AND {counts}"


def _presence(state: State, row: str) -> Iterator[str]:
    """The columns that a state requires or forbids, and which of the optional ones go together."""
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


def indexes(prefix: str) -> tuple[str, ...]:
    """The indexes as SQL. Each further one costs a write about 12 %: each is earned, and partial where it can be."""
    return (
        # The claim: one lane per kind and node, with the order of the claim inside; priority first, skipped through.
        f"CREATE INDEX {prefix}jobs_claimable ON {prefix}jobs (priority, kind, node_id, available_at, id) "
        f"WHERE {IS_CLAIMABLE}",
        # Settling: overdue jobs, in the order in which they became overdue.
        f"CREATE INDEX {prefix}jobs_overdue ON {prefix}jobs ({OVERDUE_AT}) WHERE {IS_LEASED}",
        # One live job per key.
        f"CREATE UNIQUE INDEX {prefix}jobs_live_key ON {prefix}jobs (key) WHERE key IS NOT NULL AND {IS_LIVE}",
        # Listing and counting live jobs, among any number of jobs that have ended.
        f"CREATE INDEX {prefix}jobs_live ON {prefix}jobs (id, state, finished_at) WHERE {IS_LIVE}",
        # Listing, counting and pruning jobs that have ended, by state.
        f"CREATE INDEX {prefix}jobs_ended ON {prefix}jobs (state, id, finished_at) WHERE {IS_ENDED}",
        # A second restart finds the first.
        f"CREATE INDEX {prefix}job_specs_restarted ON {prefix}job_specs (restarted_from) "
        "WHERE restarted_from IS NOT NULL",
        # The tokens of a restart continue those of its whole lineage.
        f"CREATE INDEX {prefix}job_specs_lineage ON {prefix}job_specs (root_id) WHERE restarted_from IS NOT NULL",
        f"CREATE UNIQUE INDEX {prefix}job_events_seq ON {prefix}job_events (job_id, seq)",
        f"CREATE INDEX {prefix}deletions_at ON {prefix}deletions (at)",
        f"CREATE UNIQUE INDEX {prefix}job_checkpoints_epoch ON {prefix}job_checkpoints (root_id, epoch)",
        f"CREATE INDEX {prefix}job_checkpoints_job ON {prefix}job_checkpoints (job_id, status, epoch)",
        # The few warnings and errors among any number of entries.
        f"CREATE INDEX {prefix}job_logs_trouble ON {prefix}job_logs (job_id, number) WHERE {IS_TROUBLE}",
    )


def views(prefix: str) -> tuple[str, ...]:
    """The views for people with `sqlite3` at hand; times are readable and UTC."""

    def readable(column: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000000.0, 'unixepoch')"

    return (
        f"CREATE VIEW {prefix}live_jobs AS SELECT id, state, kind, worker_id, attempt, priority, "
        f"{readable('created_at')} AS created, {readable('available_at')} AS available, "
        f"{readable('lease_expires_at')} AS lease_expires, {readable('stop_deadline_at')} AS stop_deadline, "
        f"stop_reason FROM {prefix}jobs WHERE {IS_LIVE}",
        f"CREATE VIEW {prefix}job_durations AS SELECT id, state, kind, attempt, {readable('created_at')} AS created, "
        f"{readable('started_at')} AS started, {readable('finished_at')} AS finished, "
        f"(started_at - created_at) / 1000000.0 AS waited_seconds, "
        f"(finished_at - started_at) / 1000000.0 AS ran_seconds FROM {prefix}jobs",
        f"CREATE VIEW {prefix}stuck_jobs AS SELECT id, state, kind, worker_id, {readable('lease_expires_at')} AS "
        f"lease_expires, {readable('stop_deadline_at')} AS stop_deadline, CASE WHEN worker_id IS NULL THEN "
        f"'a stop waits for nobody' WHEN state IN {listed(STOP_PENDING)} AND stop_deadline_at <= lease_expires_at "
        f"THEN 'past its stop deadline' ELSE 'its lease ran out' END AS why FROM {prefix}jobs "
        f"WHERE {IS_LEASED} AND {OVERDUE_AT} <= (julianday('now') - 2440587.5) * 86400000000",
    )
