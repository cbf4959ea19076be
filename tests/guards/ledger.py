"""A store file with jobs in every state, and how a stranger with `sqlite3` sees and changes it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import jobstate
from jobstate import State, Trigger
from jobstate.domain.invariants import SHAPE
from jobstate.domain.lifecycle import AUTHORITY, LEASE_EFFECT, Authority, LeaseEffect
from jobstate.storage.mapping import column_of
from jobstate.testing.clock import ManualClock

KEY: Final = "the-live-key"
NEW_JOB: Final = (
    "id, state, kind, node_id, priority, available_at, key, parallelism, attempt, failures, lease_token, clean, "
    "created_at, updated_at, seq, trigger, actor"
)
"""The columns that a raw submission has to name."""

NAMES: Final[dict[str, State]] = {
    "created": State.CREATED,
    "scheduled": State.SCHEDULED,
    "keyed": State.SCHEDULED,
    "running": State.RUNNING,
    "rescaling": State.RESCALING,
    "recovering": State.RECOVERING,
    "asked": State.STOP_REQUESTED,
    "asked_unheld": State.STOP_REQUESTED,
    "stopping": State.STOPPING,
    "stopped": State.STOPPED,
    "completed": State.COMPLETED,
    "failed": State.FAILED,
}
"""The jobs of the file by name; each state is there, and StopRequested with and without a holder."""

Row = dict[str, Any]
Dump = dict[str, list[tuple[Any, ...]]]


def populate(path: Path) -> dict[str, int]:
    """Write a file with one job per name of `NAMES`; their ids. No later write happens behind its back."""
    ids = {}
    with jobstate.open(path, clock=ManualClock(), actor="test") as jobs:
        for name in NAMES:
            job = jobs.submit(name, hold=name == "created", key=KEY if name == "keyed" else None)
            ids[name] = job.id
        held = {name: jobs.claim("w1", kinds=[name])[0] for name in NAMES if name not in _NEVER_CLAIMED}
        for name in ("running", "completed"):
            held[name].add_range("blocks", 0, 9, files=1, size_bytes=10)
            held[name].checkpoint(state=10)
        held["recovering"].fail("disk gone")
        held["failed"].fail("bad input", retryable=False)
        held["completed"].complete()
        for name in ("asked", "asked_unheld", "stopping"):
            jobs.stop(ids[name], reason="wrong input")
        held["stopping"].begin_stop()
        jobs.stop(ids["stopped"], mode="force")
    with stranger(path) as connection:  # by an edge of the lifecycle, as whoever writes may
        pull(connection, ids["rescaling"], Trigger.RESCALE, State.RESCALING)
    return ids


_NEVER_CLAIMED: Final = ("created", "scheduled", "keyed", "asked_unheld")


def copied(template: Path, folder: Path) -> Path:
    """A copy of a closed store file."""
    return Path(shutil.copy(template, folder / "jobs.db"))


@contextmanager
def stranger(path: Path) -> Iterator[sqlite3.Connection]:
    """A plain connection in autocommit, as the `sqlite3` shell has."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")  # these files need not outlive a power cut
    try:
        yield connection
    finally:
        connection.close()


def dump(connection: sqlite3.Connection) -> Dump:
    """Everything in the file: the schema, and each row of each table, SQLite's own included."""
    tables = [name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
    found = {"sqlite_master": connection.execute("SELECT * FROM main.sqlite_master ORDER BY name").fetchall()}
    for table in tables:
        found[table] = sorted(connection.execute(f"SELECT * FROM main.{table}").fetchall(), key=repr)
    return found


def row_of(connection: sqlite3.Connection, job_id: int) -> Row:
    """The row of a job, by column."""
    cursor = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,))
    names = [column[0] for column in cursor.description]
    return dict(zip(names, cursor.fetchone(), strict=True))


def next_version(row: Row, trigger: Trigger, target: State) -> Row:
    """The columns of a well-formed step: one entry on, the lease moved as the trigger says, the shape of the target.

    Nothing about it is wrong, except that the lifecycle may have no such edge.
    """
    step: Row = {
        "state": target.value,
        "trigger": trigger.value,
        "seq": row["seq"] + 1,
        "actor": "sql:stranger",
        "reason": "by hand",
        "detail": '{"why": "test"}',
        "updated_at": row["updated_at"] + 1,
        "fence": row["lease_token"] + row["seq"] if presents(row, trigger) else None,
    }
    match LEASE_EFFECT[trigger]:
        case LeaseEffect.TAKES:
            step |= {"lease_token": row["lease_token"] + 1, "attempt": row["attempt"] + 1}
            step |= {"worker_id": "w9", "lease_expires_at": row["updated_at"] + 9}
        case LeaseEffect.ENDS:
            step |= {"worker_id": None, "lease_expires_at": None}
        case LeaseEffect.LOSES:
            step |= {"worker_id": None, "lease_expires_at": None}
            step["lease_token"] = row["lease_token"] + (row["worker_id"] is not None)
        case LeaseEffect.KEEPS:
            pass
    for field, required, allowed in SHAPE:
        column = column_of(field)
        value = step.get(column, row[column])
        if target not in allowed:
            step[column] = None
        elif target in required and value is None:
            step[column] = _PLAUSIBLE.get(column, row["updated_at"] + 1)
    if step.get("worker_id", row["worker_id"]) is None:
        step["lease_expires_at"] = None
    return step


def presents(row: Row, trigger: Trigger) -> bool:
    """Whether this step is one of the holder's, which presents its token: where both may do it, it is."""
    return row["worker_id"] is not None and AUTHORITY[trigger] is not Authority.OTHERS


_PLAUSIBLE: Final[Row] = {
    "worker_id": "w9",
    "rescale_to": 2,
    "stop_mode": "checkpoint",
    "stop_outcome": "forced",
    "failure": '{"message": "gone", "kind": "fatal", "domain": null, "traceback": null}',
}


def write(connection: sqlite3.Connection, job_id: int, columns: Row) -> int:
    """One raw UPDATE of these columns; how many rows it changed."""
    assignments = ", ".join(f"{column} = :{column}" for column in columns)
    return connection.execute(f"UPDATE jobs SET {assignments} WHERE id = :_id", {**columns, "_id": job_id}).rowcount


def pull(connection: sqlite3.Connection, job_id: int, trigger: Trigger, target: State) -> Row:
    """A well-formed raw UPDATE along an edge; what it wrote."""
    step = next_version(row_of(connection, job_id), trigger, target)
    assert write(connection, job_id, step) == 1
    return step
