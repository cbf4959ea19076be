"""Whoever writes the file, with `sqlite3` and nothing of jobstate: no illegal step, and no trace of an attempt."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Final

import pytest

import jobstate
from jobstate import State
from jobstate.domain.invariants import SHAPE
from jobstate.domain.lifecycle import INITIAL, LIVE, TERMINAL
from jobstate.storage.mapping import FIXED_FIELDS, column_of
from jobstate.testing.clock import ManualClock
from tests.guards.ledger import KEY, NAMES, NEW_JOB, dump, row_of, stranger

PRAGMAS: Final = {
    "plain": (),
    "no_checks": ("PRAGMA ignore_check_constraints = ON",),
    "recursive": ("PRAGMA recursive_triggers = ON",),
    "no_checks_recursive": ("PRAGMA ignore_check_constraints = ON", "PRAGMA recursive_triggers = ON"),
}
"""Settings that a connection may make for itself; none may open a way."""

_NEW: Final = "'Scheduled', 'extract', '', 0, 0, {key}, 1, 0, 0, 0, 0, 1, 1, 1, 'submit', 'sql'"
_FRESH: Final = _NEW.format(key="NULL")
_KEYED: Final = _NEW.format(key=":key")
_DONE: Final = (
    "state = 'Completed', trigger = 'complete', seq = seq + 1, worker_id = NULL, lease_expires_at = NULL, "
    "finished_at = updated_at, fence = lease_token + seq"
)
_GIVEN_BACK: Final = (
    "state = 'Scheduled', trigger = 'release', seq = seq + 1, worker_id = NULL, lease_expires_at = NULL, "
    "fence = lease_token + seq"
)
_TAKEN: Final = (
    "state = 'Running', trigger = 'claim', seq = seq + 1, worker_id = 'w9', lease_expires_at = 9, claimed_at = 9, "
    "started_at = coalesce(started_at, 9), fence = NULL"
)

_NOTE: Final = "seq = seq + 1, trigger = 'rescale', fence = NULL"

HOSTILE: Final[dict[str, str]] = {
    # A row that stands in the way is not replaced.
    "insert_or_replace_takes_an_id": f"INSERT OR REPLACE INTO jobs ({NEW_JOB}) VALUES (:running, {_FRESH})",
    "insert_or_replace_takes_the_id_of_an_ended_job": f"INSERT OR REPLACE INTO jobs ({NEW_JOB}) "
    f"VALUES (:completed, {_FRESH})",
    "insert_or_replace_takes_a_key": f"INSERT OR REPLACE INTO jobs ({NEW_JOB}) VALUES (NULL, {_KEYED})",
    "replace_into_takes_an_id": f"REPLACE INTO jobs ({NEW_JOB}) VALUES (:scheduled, {_FRESH})",
    "replace_into_takes_a_key": f"REPLACE INTO jobs ({NEW_JOB}) VALUES (999, {_KEYED})",
    "replace_from_its_own_row": "REPLACE INTO jobs SELECT * FROM jobs WHERE id = :running",
    "insert_a_taken_id": f"INSERT INTO jobs ({NEW_JOB}) VALUES (:created, {_FRESH})",
    "insert_a_taken_rowid": f"INSERT INTO jobs ({NEW_JOB.replace('id', 'rowid', 1)}) VALUES (:running, {_FRESH})",
    "insert_a_taken_id_as_text": f"INSERT OR REPLACE INTO jobs ({NEW_JOB}) VALUES (CAST(:running AS TEXT), {_FRESH})",
    "insert_a_live_key": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, {_KEYED})",
    "insert_or_rollback_a_live_key": f"INSERT OR ROLLBACK INTO jobs ({NEW_JOB}) VALUES (NULL, {_KEYED})",
    "upsert_on_id_updates": f"INSERT INTO jobs ({NEW_JOB}) VALUES (:running, {_FRESH}) "
    "ON CONFLICT (id) DO UPDATE SET state = 'Completed'",
    "upsert_on_key_updates": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, {_KEYED}) "
    "ON CONFLICT DO UPDATE SET state = 'Running', worker_id = 'w9'",
    "upsert_on_id_does_nothing": f"INSERT INTO jobs ({NEW_JOB}) VALUES (:running, {_FRESH}) ON CONFLICT DO NOTHING",
    "with_clause_replaces": f"WITH old AS (SELECT :running AS id) INSERT OR REPLACE INTO jobs ({NEW_JOB}) "
    f"SELECT id, {_FRESH} FROM old",
    "multi_row_insert_half_legal": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, {_FRESH}), (:running, {_FRESH})",
    "multi_row_insert_or_fail_half_legal": f"INSERT OR FAIL INTO jobs ({NEW_JOB}) "
    f"VALUES (NULL, {_FRESH}), (:running, {_FRESH})",
    "two_rows_of_one_key": f"INSERT OR REPLACE INTO jobs ({NEW_JOB}) "
    f"VALUES (NULL, {_NEW.format(key=repr('k'))}), (NULL, {_NEW.format(key=repr('k'))})",
    # A job begins at its beginning.
    "insert_with_a_later_entry": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, "
    + _FRESH.replace("1, 'submit'", "2, 'submit'")
    + ")",
    "insert_with_another_trigger": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, {_FRESH.replace('submit', 'claim')})",
    "insert_with_an_attempt": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, "
    "'Scheduled', 'extract', '', 0, 0, NULL, 1, 1, 0, 1, 0, 1, 1, 1, 'submit', 'sql')",
    "insert_with_a_token_below_all": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, "
    "'Scheduled', 'extract', '', 0, 0, NULL, 1, 0, 0, -1, 0, 1, 1, 1, 'submit', 'sql')",
    "insert_with_the_last_token": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, "
    "'Scheduled', 'extract', '', 0, 0, NULL, 1, 0, 0, 9223372036854775807, 0, 1, 1, 1, 'submit', 'sql')",
    "insert_held_while_scheduled": f"INSERT INTO jobs ({NEW_JOB}, worker_id, lease_expires_at) "
    f"VALUES (NULL, {_FRESH}, 'w9', 9)",
    "insert_finished_while_scheduled": f"INSERT INTO jobs ({NEW_JOB}, finished_at) VALUES (NULL, {_FRESH}, 9)",
    "insert_an_unknown_state": f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, {_FRESH.replace('Scheduled', 'Done')})",
    "insert_a_negative_id": f"INSERT INTO jobs ({NEW_JOB}) VALUES (-7, {_FRESH})",
    "insert_the_id_zero": f"INSERT INTO jobs ({NEW_JOB}) VALUES (0, {_FRESH})",
    "insert_the_id_minus_one": f"INSERT INTO jobs ({NEW_JOB}) VALUES (-1, {_FRESH})",
    "insert_the_largest_id": f"INSERT INTO jobs ({NEW_JOB}) VALUES (9223372036854775807, {_FRESH})",
    # What a job is does not change.
    "change_of_id": "UPDATE jobs SET id = 999 WHERE id = :running",
    "change_of_rowid": "UPDATE jobs SET rowid = 999 WHERE id = :scheduled",
    "update_or_replace_id": "UPDATE OR REPLACE jobs SET id = :completed WHERE id = :running",
    "update_or_replace_key": "UPDATE OR REPLACE jobs SET key = :key WHERE id = :running",
    "key_dropped": "UPDATE jobs SET key = NULL WHERE id = :keyed",
    "all_keys_set": "UPDATE OR IGNORE jobs SET key = 'k' || id",
    "attempt_changed": "UPDATE jobs SET attempt = attempt - 1 WHERE id = :running",
    "attempt_raised": "UPDATE jobs SET attempt = attempt + 1, lease_token = lease_token + 1 WHERE id = :running",
    "failures_forgiven": "UPDATE jobs SET failures = 0 WHERE id = :recovering",
    "failures_charged": "UPDATE jobs SET failures = 1 WHERE id = :running",
    "first_start_rewritten": "UPDATE jobs SET started_at = 1 WHERE id = :running",
    "first_start_forgotten": "UPDATE jobs SET started_at = NULL WHERE id = :recovering",
    # A change of state writes one entry.
    "state_without_entry": "UPDATE jobs SET state = 'Completed', trigger = 'complete', worker_id = NULL, "
    "lease_expires_at = NULL, finished_at = 9 WHERE id = :running",
    "state_alone": "UPDATE jobs SET state = 'Completed' WHERE id = :running",
    "entry_number_jumps": f"UPDATE jobs SET {_DONE.replace('seq + 1', 'seq + 2')} WHERE id = :running",
    "entry_number_falls": f"UPDATE jobs SET {_DONE.replace('seq + 1', 'seq - 1')} WHERE id = :running",
    "note_jumps": f"UPDATE jobs SET {_NOTE.replace('+ 1', '+ 2')} WHERE id = :running",
    "note_falls": f"UPDATE jobs SET {_NOTE.replace('+ 1', '- 1')} WHERE id = :running",
    "note_with_a_forged_token": f"UPDATE jobs SET {_NOTE}, lease_token = lease_token + 1 WHERE id = :running",
    "note_with_another_holder": f"UPDATE jobs SET {_NOTE}, worker_id = 'w9' WHERE id = :running",
    "unknown_state": "UPDATE jobs SET state = 'Done', seq = seq + 1 WHERE id = :running",
    "state_in_lower_case": f"UPDATE jobs SET {_DONE.replace('Completed', 'completed')} WHERE id = :running",
    "state_null": "UPDATE jobs SET state = NULL WHERE id = :running",
    "unknown_trigger": f"UPDATE jobs SET {_DONE.replace(repr('complete'), repr('finish'))} WHERE id = :running",
    "trigger_in_upper_case": f"UPDATE jobs SET {_DONE.replace(repr('complete'), repr('COMPLETE'))} WHERE id = :running",
    # The lease moves as the trigger says.
    "token_jumps_at_claim": f"UPDATE jobs SET {_TAKEN}, attempt = attempt + 1, lease_token = lease_token + 2 "
    "WHERE id = :scheduled",
    "token_stays_at_claim": f"UPDATE jobs SET {_TAKEN}, attempt = attempt + 1 WHERE id = :recovering",
    "attempt_stays_at_claim": f"UPDATE jobs SET {_TAKEN}, lease_token = lease_token + 1 WHERE id = :scheduled",
    "attempt_jumps_at_claim": f"UPDATE jobs SET {_TAKEN}, attempt = attempt + 2, lease_token = lease_token + 2 "
    "WHERE id = :scheduled",
    "claim_without_holder": f"UPDATE jobs SET {_TAKEN.replace(repr('w9'), 'NULL')}, attempt = attempt + 1, "
    "lease_token = lease_token + 1 WHERE id = :scheduled",
    "token_stays_at_release": f"UPDATE jobs SET {_GIVEN_BACK} WHERE id = :running",
    "token_jumps_at_release": f"UPDATE jobs SET {_GIVEN_BACK}, lease_token = lease_token + 2 WHERE id = :running",
    "token_falls_at_release": f"UPDATE jobs SET {_GIVEN_BACK}, lease_token = lease_token - 1 WHERE id = :running",
    "token_rises_at_complete": f"UPDATE jobs SET {_DONE}, lease_token = lease_token + 1 WHERE id = :running",
    "token_falls": "UPDATE jobs SET lease_token = lease_token - 1 WHERE id = :running",
    "token_jumps": "UPDATE jobs SET lease_token = 1000000 WHERE id = :running",
    "token_raised_in_the_queue": "UPDATE jobs SET lease_token = lease_token + 1 WHERE id = :scheduled",
    "attempt_changed_at_complete": f"UPDATE jobs SET {_DONE}, attempt = 0 WHERE id = :running",
    # The row fits its state.
    "holder_removed": "UPDATE jobs SET worker_id = NULL, lease_expires_at = NULL WHERE id = :running",
    "holder_alone_removed": "UPDATE jobs SET worker_id = NULL WHERE id = :running",
    "holder_exchanged": "UPDATE jobs SET worker_id = 'w9' WHERE id = :running",
    "lease_without_end": "UPDATE jobs SET lease_expires_at = NULL WHERE id = :running",
    "holder_while_scheduled": "UPDATE jobs SET worker_id = 'w9', lease_expires_at = 9 WHERE id = :scheduled",
    "lease_end_while_scheduled": "UPDATE jobs SET lease_expires_at = 9 WHERE id = :scheduled",
    "finished_while_running": "UPDATE jobs SET finished_at = 9 WHERE id = :running",
    "ended_without_finish": f"UPDATE jobs SET {_DONE.replace('finished_at = updated_at', 'finished_at = NULL')} "
    "WHERE id = :running",
    "ended_with_its_holder": "UPDATE jobs SET state = 'Completed', trigger = 'complete', seq = seq + 1, "
    "finished_at = 9 WHERE id = :running",
    "stop_without_deadline": "UPDATE jobs SET state = 'StopRequested', trigger = 'request_stop', seq = seq + 1, "
    "stop_mode = 'checkpoint' WHERE id = :running",
    "stop_without_mode": "UPDATE jobs SET state = 'StopRequested', trigger = 'request_stop', seq = seq + 1, "
    "stop_deadline_at = 9 WHERE id = :running",
    "stop_forgotten": "UPDATE jobs SET stop_mode = NULL, stop_deadline_at = NULL WHERE id = :asked",
    "rescale_without_target": "UPDATE jobs SET rescale_to = NULL WHERE id = :rescaling",
    "failure_while_completed": f"UPDATE jobs SET {_DONE}, failure = '{{}}' WHERE id = :running",
    "more_failures_than_attempts": "UPDATE jobs SET state = 'Recovering', trigger = 'recover', seq = seq + 1, "
    "worker_id = NULL, lease_expires_at = NULL, lease_token = lease_token + 1, failures = 9 WHERE id = :running",
    "time_as_text": "UPDATE jobs SET updated_at = 'now' WHERE id = :running",
    # The end is the end.
    "ended_job_runs_again": f"UPDATE jobs SET {_TAKEN}, attempt = attempt + 1, lease_token = lease_token + 1, "
    "finished_at = NULL WHERE id = :completed",
    "ended_job_is_queued_again": "UPDATE jobs SET state = 'Scheduled', trigger = 'schedule', seq = seq + 1, "
    "finished_at = NULL WHERE id = :stopped",
    "ended_job_gets_a_note": f"UPDATE jobs SET {_NOTE} WHERE id = :completed",
    "ended_job_is_touched": "UPDATE jobs SET updated_at = updated_at WHERE id = :failed",
    "failure_of_an_ended_job_rewritten": "UPDATE jobs SET failure = '{}' WHERE id = :failed",
    "all_jobs_at_once": f"UPDATE jobs SET {_DONE}",
    "half_of_the_jobs_legal": f"UPDATE jobs SET {_DONE} WHERE id IN (:running, :scheduled)",
    "half_legal_or_rollback": f"UPDATE OR ROLLBACK jobs SET {_DONE} WHERE id IN (:running, :scheduled)",
    "update_from": "UPDATE jobs SET state = other.state, seq = jobs.seq + 1, trigger = 'complete' "
    "FROM jobs AS other WHERE jobs.id = :scheduled AND other.id = :completed",
    "with_clause_updates": "WITH chosen AS (SELECT id FROM jobs WHERE state = 'Running') "
    "UPDATE jobs SET state = 'Failed' WHERE id IN (SELECT id FROM chosen)",
    "row_value_update": "UPDATE jobs SET (state, seq) = (SELECT 'Completed', seq + 1) WHERE id = :running",
    # Live jobs are not deleted.
    "delete_a_live_job": "DELETE FROM jobs WHERE id = :running",
    "delete_the_queue": "DELETE FROM jobs WHERE state = 'Scheduled'",
    "delete_everything": "DELETE FROM jobs",
    "delete_half_legal": "DELETE FROM jobs WHERE id IN (:completed, :running)",
    "delete_with_clause": "WITH live AS (SELECT id FROM live_jobs) DELETE FROM jobs WHERE id IN (SELECT id FROM live)",
    "delete_through_a_view": "DELETE FROM live_jobs WHERE id = :running",
    "update_through_a_view": "UPDATE live_jobs SET state = 'Completed' WHERE id = :running",
    # History is written by its guard alone.
    "event_forged": "INSERT INTO job_events (job_id, seq, at, to_state, trigger, actor, attempt, token) "
    "SELECT id, seq + 1, 9, 'Completed', 'complete', 'sql', attempt, lease_token FROM jobs WHERE id = :running",
    "event_forged_with_the_right_number": "INSERT INTO job_events (job_id, seq, at, to_state, trigger, actor, attempt, "
    "token) SELECT id, seq, 9, 'Completed', 'complete', 'sql', attempt, lease_token FROM jobs WHERE id = :running",
    "event_replaced_by_number": "INSERT OR REPLACE INTO job_events (job_id, seq, at, to_state, trigger, actor, "
    "attempt, token) SELECT id, seq, 9, 'Completed', 'complete', 'sql', attempt, lease_token FROM jobs "
    "WHERE id = :running",
    "event_replaced_by_id": "REPLACE INTO job_events SELECT id, job_id, seq, at, from_state, to_state, trigger, "
    "'somebody else', reason, node, attempt, token, detail FROM job_events WHERE job_id = :running",
    "event_of_no_job": "INSERT INTO job_events (job_id, seq, at, to_state, trigger, actor, attempt, token) "
    "VALUES (999, 1, 9, 'Scheduled', 'submit', 'sql', 0, 0)",
    "event_updated": "UPDATE job_events SET actor = 'somebody else' WHERE job_id = :running",
    "event_moved": "UPDATE OR REPLACE job_events SET job_id = :completed WHERE job_id = :running",
    "event_upserted": "INSERT INTO job_events SELECT * FROM job_events WHERE job_id = :running "
    "ON CONFLICT (id) DO UPDATE SET actor = 'somebody else'",
    "event_deleted": "DELETE FROM job_events WHERE job_id = :running AND seq = 1",
    "all_events_deleted": "DELETE FROM job_events",
    # The lifecycle and the version are part of the program.
    "edge_inserted": "INSERT INTO lifecycle_edges VALUES ('Completed', 'schedule', 'Scheduled')",
    "edge_inserted_or_ignored": "INSERT OR IGNORE INTO lifecycle_edges VALUES ('Completed', 'schedule', 'Scheduled')",
    "edge_updated": "UPDATE lifecycle_edges SET to_state = 'Completed' WHERE trigger = 'claim'",
    "edge_replaced": "REPLACE INTO lifecycle_edges SELECT * FROM lifecycle_edges",
    "edge_deleted": "DELETE FROM lifecycle_edges WHERE trigger = 'claim'",
    "all_edges_deleted": "DELETE FROM lifecycle_edges",
    "version_updated": "UPDATE meta SET value = '99'",
    "version_replaced": "INSERT OR REPLACE INTO meta VALUES ('schema_version', '99')",
    "version_deleted": "DELETE FROM meta",
    # What was submitted stays.
    "descriptor_updated": "UPDATE job_specs SET descriptor = '{\"a\": 1}' WHERE job_id = :running",
    "attempts_raised": "UPDATE job_specs SET max_attempts = 1000000",
    "specification_deleted": "DELETE FROM job_specs WHERE job_id = :running",
    "specification_of_an_ended_job_deleted": "DELETE FROM job_specs WHERE job_id = :completed",
    "specification_replaced": "REPLACE INTO job_specs SELECT job_id, pipeline_id, run_id, root_id, restarted_from, "
    "99, retry, labels, descriptor FROM job_specs WHERE job_id = :running",
    "specification_of_no_job": "INSERT INTO job_specs (job_id, root_id, max_attempts, labels, descriptor) "
    "VALUES (999, 999, 3, '{}', '{}')",
    # What the store looks for work in, and what it must be able to read back.
    "unknown_stop_mode": "UPDATE jobs SET stop_mode = 'gentle' WHERE id = :asked",
    "unknown_stop_outcome": "UPDATE jobs SET state = 'Stopped', trigger = 'halt', seq = seq + 1, finished_at = 9, "
    "stop_mode = 'force', stop_outcome = 'vanished' WHERE id = :scheduled",
}


def _tried(sql: sqlite3.Connection, statement: str, ids: dict[str, int]) -> sqlite3.Error | None:
    """The error that a statement met, or None; no transaction is left open."""
    try:
        sql.execute(statement, {**ids, "key": KEY}).fetchall()
    except sqlite3.Error as error:
        return error
    finally:
        if sql.in_transaction:
            sql.execute("COMMIT")
    return None


@pytest.mark.parametrize(
    "pragmas",
    [pytest.param(pragmas, id=name, marks=[pytest.mark.slow] if pragmas else []) for name, pragmas in PRAGMAS.items()],
)
@pytest.mark.parametrize("statement", HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_statement_is_refused_and_leaves_the_file_as_it_was(
    sql: sqlite3.Connection, ids: dict[str, int], statement: str, pragmas: tuple[str, ...]
) -> None:
    for pragma in pragmas:
        sql.execute(pragma)
    before = dump(sql)
    refused = _tried(sql, statement, ids)
    assert dump(sql) == before
    assert refused is not None


@pytest.mark.parametrize("name", HOSTILE)
def test_a_refused_statement_inside_a_transaction_takes_nothing_legal_along(
    sql: sqlite3.Connection, ids: dict[str, int], name: str
) -> None:
    sql.execute("BEGIN")
    sql.execute(f"UPDATE jobs SET {_NOTE}, actor = 'me' WHERE id = :scheduled", ids)
    between = dump(sql)
    refused = _tried(sql, HOSTILE[name], ids)
    whole_transaction_undone = "OR ROLLBACK" in HOSTILE[name] and not (refused and "jobstate" in str(refused))
    assert whole_transaction_undone or dump(sql) == between
    assert refused is not None


@pytest.mark.parametrize("form", ["OR IGNORE", "OR FAIL", "OR REPLACE"])
def test_a_statement_that_may_keep_its_legal_half_has_no_effect_on_the_illegal_one(
    path: Path, ids: dict[str, int], form: str
) -> None:
    """`running` comes first and may complete; `recovering` and `scheduled` may not."""
    with stranger(path) as sql:
        illegal = [row_of(sql, ids[name]) for name in ("recovering", "scheduled")]
        _tried(sql, f"UPDATE {form} jobs SET {_DONE} WHERE id IN (:running, :recovering, :scheduled)", ids)
        assert [row_of(sql, ids[name]) for name in ("recovering", "scheduled")] == illegal
    assert _consistent(path)


def test_the_list_is_long_enough_to_mean_something() -> None:
    assert len(HOSTILE) >= 45


@pytest.mark.parametrize("state", sorted(set(State) - set(INITIAL)))
@pytest.mark.parametrize("checks", ["OFF", "ON"])
def test_no_job_is_born_in_a_later_state(sql: sqlite3.Connection, state: State, checks: str) -> None:
    sql.execute(f"PRAGMA ignore_check_constraints = {checks}")
    before = dump(sql)
    fields = {column_of(field): 1 for field, required, _ in SHAPE if state in required}
    names = "".join(f", {column}" for column in fields)
    values = "".join(f", {value}" for value in fields.values())
    with pytest.raises(sqlite3.Error):
        sql.execute(f"INSERT INTO jobs ({NEW_JOB}{names}) VALUES (NULL, {_FRESH.replace('Scheduled', state)}{values})")
    assert dump(sql) == before


@pytest.mark.parametrize("state", INITIAL)
def test_a_raw_submission_is_accepted_and_begins_a_history(sql: sqlite3.Connection, state: State) -> None:
    cursor = sql.execute(f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, {_FRESH.replace('Scheduled', state)})")
    history = sql.execute(
        "SELECT seq, from_state, to_state, trigger, actor FROM job_events WHERE job_id = ?", (cursor.lastrowid,)
    ).fetchall()
    assert history == [(1, None, state.value, "submit", "sql")]


@pytest.mark.parametrize("column", [column_of(field) for field in FIXED_FIELDS])
@pytest.mark.parametrize("name", [name for name, state in NAMES.items() if state in LIVE])
def test_what_a_job_is_never_changes(sql: sqlite3.Connection, ids: dict[str, int], column: str, name: str) -> None:
    before = dump(sql)
    value = 12345 if isinstance(row_of(sql, ids[name])[column], int) else "another"
    for verb in ("UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE"):
        with pytest.raises(sqlite3.Error):
            sql.execute(f"{verb} jobs SET {column} = ? WHERE id = ?", (value, ids[name]))
    assert dump(sql) == before


@pytest.mark.parametrize("recursive", ["OFF", "ON"])
@pytest.mark.parametrize("checks", ["OFF", "ON"])
@pytest.mark.parametrize("name", [name for name, state in NAMES.items() if state in LIVE])
def test_no_live_job_is_deleted(
    sql: sqlite3.Connection, ids: dict[str, int], name: str, checks: str, recursive: str
) -> None:
    sql.execute(f"PRAGMA ignore_check_constraints = {checks}")
    sql.execute(f"PRAGMA recursive_triggers = {recursive}")
    before = dump(sql)
    with pytest.raises(sqlite3.IntegrityError, match="jobstate: only a job that has ended"):
        sql.execute("DELETE FROM jobs WHERE id = ?", (ids[name],))
    assert dump(sql) == before


CHILDREN: Final = ("job_specs", "job_events", "job_progress", "job_checkpoints")


@pytest.mark.parametrize("recursive", ["OFF", "ON"])
@pytest.mark.parametrize("name", [name for name, state in NAMES.items() if state in TERMINAL])
def test_a_raw_delete_of_an_ended_job_takes_what_belongs_to_it_and_leaves_a_record(
    path: Path, sql: sqlite3.Connection, ids: dict[str, int], name: str, recursive: str
) -> None:
    sql.execute(f"PRAGMA recursive_triggers = {recursive}")
    before = dump(sql)
    finished = row_of(sql, ids[name])["finished_at"]
    assert sql.execute("DELETE FROM jobs WHERE id = ?", (ids[name],)).rowcount == 1
    after = dump(sql)
    record = sql.execute("SELECT kind, state, at, actor FROM deletions WHERE id = ?", (ids[name],)).fetchall()
    assert record == [(name, NAMES[name].value, finished, "sql")]
    for table in CHILDREN:
        assert sql.execute(f"SELECT count(*) FROM {table} WHERE job_id = ?", (ids[name],)).fetchone() == (0,)
        column = [row[1] for row in sql.execute(f"PRAGMA table_info({table})")].index("job_id")
        assert after[table] == [row for row in before[table] if row[column] != ids[name]]
    assert name != "completed" or len(before["job_checkpoints"]) > len(after["job_checkpoints"])
    with jobstate.open(path, clock=ManualClock()) as jobs:
        assert jobs.audit().ok


def test_the_id_of_a_deleted_job_is_not_given_to_another(path: Path, ids: dict[str, int]) -> None:
    with stranger(path) as sql:
        sql.execute("DELETE FROM jobs WHERE state IN ('Completed', 'Stopped', 'Failed')")
    with jobstate.open(path, clock=ManualClock()) as jobs:
        assert jobs.submit("extract").id > max(ids.values())


def test_an_attached_store_is_guarded_too(path: Path, ids: dict[str, int]) -> None:
    with stranger(Path(":memory:")) as sql:
        sql.execute("ATTACH ? AS store", (str(path),))
        before = sql.execute("SELECT * FROM store.jobs").fetchall()
        for statement in (
            "UPDATE store.jobs SET state = 'Completed' WHERE id = :running",
            "DELETE FROM store.jobs WHERE id = :running",
            "DELETE FROM store.job_events",
            f"INSERT OR REPLACE INTO store.jobs ({NEW_JOB}) VALUES (:running, {_FRESH})",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                sql.execute(statement, ids)
        assert sql.execute("SELECT * FROM store.jobs").fetchall() == before


def test_temporary_tables_with_the_names_of_ours_do_not_mislead_the_guards(
    sql: sqlite3.Connection, ids: dict[str, int]
) -> None:
    sql.execute("CREATE TEMP TABLE lifecycle_edges AS SELECT * FROM main.lifecycle_edges")
    sql.execute("INSERT INTO temp.lifecycle_edges VALUES ('Created', 'schedule', 'Failed')")
    sql.execute("CREATE TEMP TABLE job_events AS SELECT * FROM main.job_events WHERE 0")
    sql.execute("CREATE TEMP TABLE deletions AS SELECT * FROM main.deletions WHERE 0")
    before = dump(sql)
    step = "state = 'Failed', trigger = 'schedule', seq = seq + 1, finished_at = 9, failure = '{}'"
    with pytest.raises(sqlite3.IntegrityError, match="no such edge"):
        sql.execute(f"UPDATE main.jobs SET {step} WHERE id = :created", ids)
    with pytest.raises(sqlite3.IntegrityError, match="history"):
        sql.execute("DELETE FROM main.job_events")
    assert dump(sql) == before
    sql.execute(f"UPDATE main.jobs SET {_DONE} WHERE id = :running", ids)
    entries = "SELECT count(*) FROM main.job_events WHERE job_id = :running AND trigger = 'complete'"
    assert sql.execute(entries, ids).fetchone() == (1,)


# Writes inside writes: a stranger's own trigger or function runs while a guard is at work or just before.


def _consistent(path: Path) -> bool:
    with jobstate.open(path, clock=ManualClock()) as jobs:
        return jobs.audit().ok


def test_a_temporary_trigger_on_the_history_cannot_make_an_illegal_step(path: Path, ids: dict[str, int]) -> None:
    """SQLite does not run a trigger inside itself: what the guard's own entry sets off must still meet the guard."""
    with stranger(path) as sql:
        sql.execute(
            "CREATE TEMP TRIGGER inner_write AFTER INSERT ON main.job_events BEGIN UPDATE jobs SET state = 'Created', "
            "worker_id = NULL, lease_expires_at = NULL, claimed_at = NULL, started_at = NULL WHERE id = NEW.job_id; END"
        )
        _tried(sql, f"UPDATE jobs SET {_NOTE} WHERE id = :running", ids)
        assert row_of(sql, ids["running"])["state"] == State.RUNNING
    assert _consistent(path)


def test_a_legal_step_that_a_temporary_trigger_makes_without_its_entry_is_noticed(
    path: Path, ids: dict[str, int]
) -> None:
    """SQLite does not write the history inside itself either; then the audit sees the gap."""
    with stranger(path) as sql:
        sql.execute(
            f"CREATE TEMP TRIGGER inner_write AFTER INSERT ON main.job_events BEGIN UPDATE jobs SET {_DONE} "
            "WHERE id = NEW.job_id; END"
        )
        refused = _tried(sql, f"UPDATE jobs SET {_NOTE} WHERE id = :running", ids)
    assert _consistent(path) is (refused is not None)


_AS_IT_WAS: Final = (
    "UPDATE jobs SET state = 'Running', trigger = 'claim', seq = {seq}, worker_id = 'w1', "
    "lease_expires_at = 99, finished_at = NULL{more} WHERE id = :running"
)


def test_a_temporary_trigger_before_the_update_cannot_bring_an_ended_job_back(path: Path, ids: dict[str, int]) -> None:
    """What runs before an update may end the job; the update then writes over it what it had read before."""
    with stranger(path) as sql:
        seq = row_of(sql, ids["running"])["seq"]
        sql.execute(
            f"CREATE TEMP TRIGGER inner_write BEFORE UPDATE ON main.jobs BEGIN UPDATE jobs SET {_DONE} "
            "WHERE id = NEW.id; END"
        )
        _tried(sql, _AS_IT_WAS.format(seq=seq, more=""), ids)
    assert _consistent(path)


def test_a_function_that_writes_in_the_middle_of_an_update_cannot_bring_an_ended_job_back(
    path: Path, ids: dict[str, int]
) -> None:
    with stranger(path) as sql:
        seq = row_of(sql, ids["running"])["seq"]

        def meddle() -> str:
            sql.execute(f"UPDATE jobs SET {_DONE} WHERE id = :running", ids)
            return "{}"

        sql.create_function("meddle", 0, meddle)
        _tried(sql, _AS_IT_WAS.format(seq=seq, more=", detail = meddle()"), ids)
    assert _consistent(path)


def test_a_job_that_was_submitted_without_its_specification_does_not_keep_others_from_being_claimed(
    path: Path,
) -> None:
    """A trigger cannot demand the second row of a submission; the store has to live with its absence."""
    with stranger(path) as sql:
        sql.execute(
            f"INSERT INTO jobs ({NEW_JOB}) VALUES (NULL, {_FRESH.replace(chr(39) * 2 + ', 0', chr(39) * 2 + ', -9')})"
        )
    with jobstate.open(path, clock=ManualClock()) as jobs:
        claimed = [run.job.kind for _ in range(3) for run in jobs.claim("w2")]
        assert "scheduled" in claimed and "keyed" in claimed
        assert any("specification" in finding.problem for finding in jobs.audit().findings)


def test_the_history_entry_is_a_copy_of_the_row_by_the_same_statement(
    sql: sqlite3.Connection, ids: dict[str, int]
) -> None:
    changes = sql.total_changes
    sql.execute(
        "UPDATE jobs SET state = 'StopRequested', trigger = 'request_stop', seq = seq + 1, stop_mode = 'checkpoint', "
        "stop_deadline_at = 77, updated_at = 66, actor = 'ana', reason = 'by hand', detail = :detail, fence = NULL "
        "WHERE id = :running",
        {**ids, "detail": json.dumps({"a": 1})},
    )
    assert sql.total_changes - changes >= 1
    row = row_of(sql, ids["running"])
    entry = sql.execute(
        "SELECT seq, at, from_state, to_state, trigger, actor, reason, node, attempt, token, detail FROM job_events "
        "WHERE job_id = :running ORDER BY seq DESC LIMIT 1",
        ids,
    ).fetchone()
    assert entry == (
        *(row["seq"], 66, "Running", "StopRequested", "request_stop", "ana", "by hand", "w1"),
        *(row["attempt"], row["lease_token"], '{"a": 1}'),
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "UPDATE lineages SET newest_token = newest_token - 1, newest_epoch = newest_epoch + 1",
        "UPDATE lineages SET newest_token = newest_token + 1, newest_epoch = newest_epoch - 1",
        "UPDATE lineages SET newest_token = newest_token",
        "UPDATE lineages SET root_id = root_id + 1, newest_token = newest_token + 1",
        "INSERT OR REPLACE INTO lineages SELECT root_id, 0, 0 FROM lineages",
        "DELETE FROM lineages",
    ],
)
def test_the_tokens_and_epochs_of_a_lineage_only_rise(tmp_path: Path, hostile: str) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, clock=ManualClock()) as jobs:
        first = jobs.submit("extract")
        (run,) = jobs.claim("w1")
        run.checkpoint()
        run.fail("disk gone", retryable=False)
        again = jobs.restart(first)
        jobs.stop(again, mode="force")
        jobs.delete(again)
    with stranger(path) as sql:
        before = sql.execute("SELECT * FROM lineages").fetchall()
        assert before == [(first.id, 1, 2)]
        with pytest.raises(sqlite3.IntegrityError, match="the tokens and epochs of a lineage only rise"):
            sql.execute(hostile)
        assert sql.execute("SELECT * FROM lineages").fetchall() == before
