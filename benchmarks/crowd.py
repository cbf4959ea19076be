"""A store with many jobs in it, made by one statement a table instead of by living through them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import jobstate
from jobstate.storage.schema.guards import guards

FAR = 4_000_000_000_000_000
"""Microseconds since 1970: the year 2096."""

_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
_COLUMNS = (
    "state, kind, node_id, priority, available_at, parallelism, attempt, failures, lease_token, clean, created_at, "
    "updated_at, started_at, claimed_at, finished_at, seq, trigger, actor"
)


_LIFE = (
    (1, "NULL", "Scheduled", "submit"),
    (2, "'Scheduled'", "Running", "claim"),
    (3, "'Running'", "Completed", "complete"),
)


def finished(path: Path, jobs: int, *, history: bool = False) -> None:
    """So many completed jobs, with the history that each left if asked for."""
    values = "'Completed', 'extract', '', 0, i, 1, 1, 0, 1, 0, i, i, i, i, i, 3, 'complete', 'crowd'"
    _fill(path, jobs, values, _LIFE if history else ())


def waiting(path: Path, jobs: int, *, kind: str = "extract", node_id: str = "", available_at: int = 1) -> None:
    """So many jobs in the queue, ahead of all others in the order of the claim."""
    _fill(
        path,
        jobs,
        f"'Scheduled', '{kind}', '{node_id}', -1, {available_at}, 1, 0, 0, 0, 0, i, i, NULL, NULL, NULL, 1, 'submit', "
        "'crowd'",
    )


def _fill(path: Path, jobs: int, values: str, history: Sequence[tuple[int, str, str, str]] = ()) -> None:
    jobstate.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(f"INSERT INTO jobs ({_COLUMNS}) {_NUMBERS} SELECT {values} FROM n", (jobs,))
    connection.execute(
        "INSERT INTO job_specs (job_id, root_id, max_attempts, labels, descriptor) "
        "SELECT id, id, 3, '{}', '{}' FROM jobs WHERE id NOT IN (SELECT job_id FROM job_specs)"
    )
    for seq, was, now, trigger in history:
        connection.execute(
            "INSERT INTO job_events (job_id, seq, at, from_state, to_state, trigger, actor, attempt, token) "
            f"SELECT id, {seq}, created_at, {was}, '{now}', '{trigger}', 'crowd', 1, 1 FROM jobs"
        )
    for statement in guards(""):
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.close()
