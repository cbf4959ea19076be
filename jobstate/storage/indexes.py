"""The indexes, and the views for people."""

from __future__ import annotations

from jobstate.domain.lifecycle import STOP_PENDING
from jobstate.storage.compiled import listed
from jobstate.storage.conditions import IS_CLAIMABLE, IS_ENDED, IS_LEASED, IS_LIVE, IS_TROUBLE, OVERDUE_AT


def indexes(prefix: str) -> tuple[str, ...]:
    """The indexes as SQL. Each further one costs a write about 12 %: each is earned, and partial where it can be."""
    return (
        # The claim: one lane per kind and node, with the order of the claim inside; priority first, skipped through.
        f"CREATE INDEX {prefix}jobs_claimable ON {prefix}jobs (priority, kind, node_id, available_at, id) "
        f"WHERE {IS_CLAIMABLE}",
        # Settling: what is overdue, in the order in which it became so.
        f"CREATE INDEX {prefix}jobs_overdue ON {prefix}jobs ({OVERDUE_AT}) WHERE {IS_LEASED}",
        # One live job per key.
        f"CREATE UNIQUE INDEX {prefix}jobs_live_key ON {prefix}jobs (key) WHERE key IS NOT NULL AND {IS_LIVE}",
        # Listing and counting what is live, among any number of jobs that have ended.
        f"CREATE INDEX {prefix}jobs_live ON {prefix}jobs (id, state, finished_at) WHERE {IS_LIVE}",
        # Listing, counting and pruning what has ended, by how it ended.
        f"CREATE INDEX {prefix}jobs_ended ON {prefix}jobs (state, id, finished_at) WHERE {IS_ENDED}",
        # A second restart looks for the first.
        f"CREATE INDEX {prefix}job_specs_restarted ON {prefix}job_specs (restarted_from) "
        "WHERE restarted_from IS NOT NULL",
        # Its tokens go on from those of the whole lineage.
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
