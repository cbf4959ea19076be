"""The fence in the row: who may pull a trigger, by the token that a statement presents; every legal one, and forgeries.

What is expected comes from `AUTHORITY`, the table of who may do what, and from the rows; never from the guard's text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

import pytest

from jobstate.domain.lifecycle import AUTHORITY, EDGES, NOTED, TERMINAL, Authority, Trigger
from tests.guards.ledger import NAMES, NEW_JOB, Row, dump, next_version, row_of

Statement = tuple[str, Row, bool]
"""What it is, the columns that it sets, and whether it is legal."""

LEFT: Final = "as an earlier statement left it"


def forged(row: Row, proper: int) -> dict[str, object]:
    """What a statement without the token of the lease may try to present."""
    token, seq = row["lease_token"], row["seq"]
    expiry = row["lease_expires_at"] or 0
    return {
        "the token before": token - 1 + seq,
        "the token after": token + 1 + seq,
        "the token alone": token,
        "seq alone": seq,
        "that of the next entry": token + seq + 1,
        "that of the entry before": token + seq - 1,
        "a negative one": -(token + seq),
        "that of a renewal": -(token + expiry + row["clean"]),
        "zero": 0,
        "the largest": 2**63 - 1,
        "the smallest": -(2**63),
    } | ({} if row["fence"] in (None, proper) else {LEFT: row["fence"]})


def edges(row: Row) -> Iterator[Statement]:
    """Every step along an edge, with the token, without one, and with each forgery."""
    held = row["worker_id"] is not None
    proper = row["lease_token"] + row["seq"]
    for source, trigger, target in EDGES:
        if source.value != row["state"]:
            continue
        step = next_version(row, trigger, target)
        who = AUTHORITY[trigger]
        others = step
        if who is Authority.EITHER:
            others = {**step, "lease_token": row["lease_token"] + held}
        legal_without = {
            Authority.HOLDER: False,
            Authority.OTHERS: True,
            Authority.EITHER: True,
            Authority.HOLDER_UNTIL_EXPIRY: False,
            Authority.HOLDER_IF_ANY: not held,
        }[who]
        may_present = held and who is not Authority.OTHERS
        yield f"{trigger} with the token", {**step, "fence": proper}, may_present
        yield f"{trigger} without", {**others, "fence": None}, legal_without
        if who is Authority.EITHER and held:
            yield f"{trigger} with the token, which rises", {**others, "fence": proper}, False
            yield f"{trigger} without, and the token stays", {**step, "fence": None}, False
        if who is Authority.HOLDER_UNTIL_EXPIRY:
            expiry = row["lease_expires_at"]
            for late in (-1, 0, 1):
                yield (
                    f"{trigger} without, {late} µs after the expiry",
                    {**step, "fence": None, "updated_at": expiry + late},
                    late >= 0,
                )
        for what, fence in forged(row, proper).items():
            yield f"{trigger} with {what}", {**step, "fence": fence}, False


def notes(row: Row) -> Iterator[Statement]:
    """Every note: an entry without a change of state."""
    held = row["worker_id"] is not None
    proper = row["lease_token"] + row["seq"]
    for trigger in Trigger:
        note: Row = {"seq": row["seq"] + 1, "trigger": trigger.value, "updated_at": row["updated_at"] + 1}
        known = trigger in NOTED
        by_holder = AUTHORITY[trigger] is Authority.HOLDER
        yield f"note {trigger} with the token", {**note, "fence": proper}, known and by_holder and held
        yield f"note {trigger} without", {**note, "fence": None}, known and not by_holder
        for what, fence in forged(row, proper).items():
            yield f"note {trigger} with {what}", {**note, "fence": fence}, False


def renewals(row: Row) -> Iterator[Statement]:
    """Changes of the lease, and attempts to change something else on the way."""
    held = row["worker_id"] is not None
    token, expiry = row["lease_token"], row["lease_expires_at"] or 0
    for until, clean in ((expiry + 7, row["clean"]), (expiry, 1 - row["clean"]), (expiry + 7, 1 - row["clean"])):
        renewal = {"lease_expires_at": until if held else None, "clean": clean}
        proper = -(token + until + clean)
        yield f"renewal to {until}, {clean}", {**renewal, "fence": proper}, held
        yield f"renewal to {until}, {clean} without", {**renewal, "fence": None}, False
        for what, fence in {**forged(row, proper), "that of an entry": token + row["seq"]}.items():
            if fence != proper:
                yield f"renewal to {until}, {clean} with {what}", {**renewal, "fence": fence}, False
        for column, value in (
            *(("available_at", 1), ("parallelism", 7), ("reason", "forged"), ("detail", "{}"), ("actor", "forged")),
            *(("updated_at", row["updated_at"] + 1), ("trigger", "forged")),
        ):
            yield f"renewal that changes {column}", {**renewal, "fence": proper, column: value}, False


@pytest.mark.parametrize("name", [name for name, state in NAMES.items() if state not in TERMINAL])
def test_a_statement_passes_exactly_when_it_presents_what_its_trigger_needs(
    sql: sqlite3.Connection, ids: dict[str, int], name: str
) -> None:
    row = row_of(sql, ids[name])
    wrong = []
    for what, columns, legal in (*edges(row), *notes(row), *renewals(row)):
        refusal = attempt(sql, ids[name], columns)
        if legal is not (refusal is None):
            wrong.append(f"{what}: {refusal or 'accepted'}")
        assert refusal is None or "jobstate: " in refusal or "CHECK" in refusal, what
    assert wrong == []


def test_there_are_enough_statements_of_both_sorts(sql: sqlite3.Connection, ids: dict[str, int]) -> None:
    found = [
        legal
        for name, state in NAMES.items()
        if state not in TERMINAL
        for statements in (edges, notes, renewals)
        for *_, legal in statements(row_of(sql, ids[name]))
    ]
    assert found.count(True) >= 70
    assert found.count(False) >= 700


def attempt(sql: sqlite3.Connection, job_id: int, columns: Row) -> str | None:
    """Why the statement is refused, or None; undone in either case."""
    assignments = ", ".join(f"{column} = :{column}" for column in columns)
    sql.execute("SAVEPOINT attempt")
    try:
        sql.execute(f"UPDATE jobs SET {assignments} WHERE id = :_id", {**columns, "_id": job_id})
    except sqlite3.Error as error:
        return str(error)
    finally:
        sql.execute("ROLLBACK TO attempt")
        sql.execute("RELEASE attempt")
    return None


def test_a_late_worker_cannot_end_the_run_of_its_successor_by_leaving_out_the_token(
    sql: sqlite3.Connection, ids: dict[str, int]
) -> None:
    stale = row_of(sql, ids["running"])
    released = next_version(stale, Trigger.RELEASE, NAMES["scheduled"])
    assert "lease_token" in released
    for columns in (released, next_version({**stale, **released}, Trigger.CLAIM, NAMES["running"])):
        names = ", ".join(f"{column} = :{column}" for column in columns)
        sql.execute(f"UPDATE jobs SET {names} WHERE id = :_id", {**columns, "_id": ids["running"]})
    successor = row_of(sql, ids["running"])
    assert successor["lease_token"] > stale["lease_token"]
    completion = next_version(successor, Trigger.COMPLETE, NAMES["completed"])
    for fence in (None, stale["lease_token"] + stale["seq"], stale["lease_token"] + successor["seq"]):
        refusal = attempt(sql, ids["running"], {**completion, "fence": fence})
        assert refusal is not None and "the token of the lease" in refusal
    without = {column: value for column, value in completion.items() if column != "fence"}
    assert "the token of the lease" in str(attempt(sql, ids["running"], without))
    assert attempt(sql, ids["running"], completion) is None


@pytest.mark.parametrize("fence", [0, 1, -1])
def test_a_submission_presents_nothing(sql: sqlite3.Connection, fence: int) -> None:
    before = dump(sql)
    values = "NULL, 'Created', 'k', '', 0, 0, NULL, 1, 0, 0, 0, 0, 1, 1, 1, 'submit', 'sql:stranger'"
    with pytest.raises(sqlite3.IntegrityError, match="a job begins unclaimed"):
        sql.execute(f"INSERT INTO jobs ({NEW_JOB}, fence) VALUES ({values}, {fence})")
    assert dump(sql) == before


def test_a_statement_over_several_jobs_is_refused_where_one_of_them_is_fenced(
    sql: sqlite3.Connection, ids: dict[str, int]
) -> None:
    jobs = [row_of(sql, ids[name]) for name in ("running", "rescaling")]
    renewal = "UPDATE jobs SET lease_expires_at = 99, fence = -(:token + 99 + clean) WHERE id IN (:running, :rescaling)"
    tokens = {row["lease_token"] for row in jobs}
    for token in (tokens.pop() + 1, 0):
        with pytest.raises(sqlite3.IntegrityError, match="the token of the lease"):
            sql.execute(renewal, {**ids, "token": token})
    assert [row_of(sql, ids[name]) for name in ("running", "rescaling")] == jobs


# Checkpoints hold the token under which they are written.

_CHECKPOINT: Final = (
    "INSERT INTO job_checkpoints (job_id, root_id, epoch, status, token, start_at, size_bytes, snapshot) "
    "VALUES (:running, :running, {epoch}, '{status}', {token}, 1, 0, '{{}}')"
)


@pytest.mark.parametrize(
    "statement",
    [
        _CHECKPOINT.format(epoch=9, status="in_progress", token=0),
        _CHECKPOINT.format(epoch=9, status="in_progress", token=2),
        _CHECKPOINT.format(epoch=9, status="completed", token=1),
        _CHECKPOINT.format(epoch=9, status="completed", token=0),
        _CHECKPOINT.format(epoch=9, status="failed", token=1),
        _CHECKPOINT.format(epoch=1, status="in_progress", token=1).replace("INSERT", "INSERT OR REPLACE"),
        "UPDATE job_checkpoints SET state = '11'",
        "UPDATE job_checkpoints SET status = 'failed'",
        "UPDATE OR REPLACE job_checkpoints SET epoch = 1",
        "DELETE FROM job_checkpoints WHERE job_id = :running",
        # A job that its worker ended keeps its token, but nobody holds it.
        _CHECKPOINT.format(epoch=9, status="in_progress", token=1).replace(":running", ":completed"),
        _CHECKPOINT.format(epoch=9, status="in_progress", token=0).replace(":running", ":scheduled"),
        # A restart copies the newest checkpoint, under no token.
        _CHECKPOINT.format(epoch=9, status="completed", token=1).replace(":running", ":scheduled"),
    ],
)
def test_a_checkpoint_without_the_token_of_the_lease_is_refused(
    sql: sqlite3.Connection, ids: dict[str, int], statement: str
) -> None:
    before = dump(sql)
    with pytest.raises(sqlite3.IntegrityError, match="checkpoint"):
        sql.execute(statement, ids)
    assert dump(sql) == before


@pytest.mark.parametrize("column", ["id", "job_id", "root_id", "epoch", "token", "start_at", "snapshot"])
def test_what_a_checkpoint_belongs_to_never_changes_while_it_is_written(
    sql: sqlite3.Connection, ids: dict[str, int], column: str
) -> None:
    sql.execute(_CHECKPOINT.format(epoch=9, status="in_progress", token=1), ids)
    before = dump(sql)
    value = "'{\"forged\": 1}'" if column == "snapshot" else ":rescaling + 100"
    if column in ("job_id", "token"):  # a job that is held, and its token: only the column itself is wrong
        value = ":rescaling" if column == "job_id" else "token + 1"
    with pytest.raises(sqlite3.IntegrityError, match="a checkpoint that has ended never changes"):
        sql.execute(f"UPDATE job_checkpoints SET {column} = {value} WHERE epoch = 9", ids)
    assert dump(sql) == before


def test_a_late_worker_completes_no_checkpoint_once_the_lease_is_gone(
    sql: sqlite3.Connection, ids: dict[str, int]
) -> None:
    (number,) = sql.execute(
        f"{_CHECKPOINT.format(epoch=9, status='in_progress', token=1)} RETURNING id", ids
    ).fetchone()
    released = next_version(row_of(sql, ids["running"]), Trigger.RELEASE, NAMES["scheduled"])
    names = ", ".join(f"{column} = :{column}" for column in released)
    sql.execute(f"UPDATE jobs SET {names} WHERE id = :_id", {**released, "_id": ids["running"]})
    assert sql.execute("SELECT status FROM job_checkpoints WHERE id = ?", (number,)).fetchone() == ("failed",)
    with pytest.raises(sqlite3.IntegrityError, match="a checkpoint that has ended never changes"):
        sql.execute("UPDATE job_checkpoints SET status = 'completed' WHERE id = ?", (number,))
