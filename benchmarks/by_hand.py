"""The baseline: what a careful person writes with `sqlite3` alone, for the same rows and the same indexes.

No library and no guards: the statements are known, the history is inserted by hand, and each step is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import jobstate

_INSERT_JOB = (
    "INSERT INTO jobs (state, kind, node_id, priority, available_at, parallelism, attempt, failures, lease_token, "
    "clean, created_at, updated_at, seq, trigger, actor) "
    "VALUES ('Scheduled', ?, '', 0, ?, 1, 0, 0, 0, 0, ?, ?, 1, 'submit', ?)"
)
_INSERT_SPEC = "INSERT INTO job_specs (job_id, root_id, max_attempts, labels, descriptor) VALUES (?, ?, 3, '{}', ?)"
_INSERT_EVENT = (
    "INSERT INTO job_events (job_id, seq, at, from_state, to_state, trigger, actor, node, attempt, token) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIND = (
    "SELECT id FROM jobs INDEXED BY jobs_claimable WHERE (state = 'Recovering' OR state = 'Scheduled') AND kind = ? "
    "AND node_id = '' AND available_at <= ? ORDER BY priority, available_at, id LIMIT 1"
)
_CLAIM = (
    "UPDATE jobs SET state = 'Running', worker_id = ?, lease_expires_at = ?, claimed_at = ?, started_at = ?, "
    "updated_at = ?, attempt = attempt + 1, lease_token = lease_token + 1, seq = seq + 1, trigger = 'claim', actor = ? "
    "WHERE id = ? AND state IN ('Scheduled', 'Recovering') RETURNING *"
)
_SPEC = "SELECT * FROM job_specs WHERE job_id = ?"
_COMPLETE = (
    "UPDATE jobs SET state = 'Completed', worker_id = NULL, lease_expires_at = NULL, finished_at = ?, updated_at = ?, "
    "seq = seq + 1, trigger = 'complete', actor = ? WHERE id = ? AND lease_token = ? AND state = 'Running'"
)


class ByHand:
    """Submit, claim and complete, by hand."""

    def __init__(self, path: Path, durability: str) -> None:
        jobstate.open(path).close()  # the same tables and indexes
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute(f"PRAGMA synchronous = {durability}")
        triggers = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            self._connection.execute(f"DROP TRIGGER {name}")

    def submit(self, kind: str, descriptor: dict[str, Any]) -> int:
        """Add a job."""
        run, now = self._connection.execute, time.time_ns() // 1000
        run("BEGIN IMMEDIATE")
        job_id = run(_INSERT_JOB, (kind, now, now, now, "me")).lastrowid
        assert job_id is not None
        run(_INSERT_SPEC, (job_id, job_id, json.dumps(descriptor)))
        run(_INSERT_EVENT, (job_id, 1, now, None, "Scheduled", "submit", "me", None, 0, 0))
        run("COMMIT")
        return job_id

    def claim(self, kind: str) -> tuple[int, dict[str, Any]]:
        """Take the lease of the next one; its id, and what it is to do."""
        run, now = self._connection.execute, time.time_ns() // 1000
        run("BEGIN IMMEDIATE")
        (job_id,) = run(_FIND, (kind, now)).fetchone()
        run(_CLAIM, ("w", now + 30_000_000, now, now, now, "worker:w", job_id)).fetchall()
        run(_INSERT_EVENT, (job_id, 2, now, "Scheduled", "Running", "claim", "worker:w", "w", 1, 1))
        (*_, descriptor) = run(_SPEC, (job_id,)).fetchone()
        run("COMMIT")
        return int(job_id), json.loads(descriptor)

    def complete(self, job_id: int) -> None:
        """End it."""
        run, now = self._connection.execute, time.time_ns() // 1000
        run("BEGIN IMMEDIATE")
        run(_COMPLETE, (now, now, "worker:w", job_id, 1))
        run(_INSERT_EVENT, (job_id, 3, now, "Running", "Completed", "complete", "worker:w", "w", 1, 1))
        run("COMMIT")

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
