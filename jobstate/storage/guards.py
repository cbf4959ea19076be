"""The lifecycle, enforced by the database itself, whoever writes; generated from the table.

A trigger sees rows only, not the statement. So the row carries who changes it and why (`trigger`, `actor`, `reason`,
`detail`) and the number of its newest history entry (`seq`); a change of state must raise `seq`, and the guard copies
the entry into the history in the same statement. `DROP TRIGGER` remains possible for whoever may write the file:
comparing the schema finds it.
"""

from __future__ import annotations

from functools import cache

from jobstate.domain.job import SUBMIT
from jobstate.domain.lifecycle import (
    EDGES,
    EITHER_WAY,
    INITIAL,
    LEASE_EFFECT,
    LIVE,
    TERMINAL,
    LeaseEffect,
    Trigger,
)
from jobstate.storage.compiled import equals_one
from jobstate.storage.tables import FIXED_FIELDS, IS_LIVE, column_of, shape_condition

_HOT_TRIGGERS = (Trigger.CLAIM, Trigger.COMPLETE)


def edge_rows() -> list[tuple[str, str, str]]:
    """What the edge table holds."""
    return [(source.value, trigger.value, target.value) for source, trigger, target in EDGES]


@cache
def guards(prefix: str) -> tuple[str, ...]:
    """The triggers as SQL, each refusing with a message that begins with `jobstate:`."""
    jobs, specs, events = f"{prefix}jobs", f"{prefix}job_specs", f"{prefix}job_events"
    children = (specs, events, f"{prefix}job_progress", f"{prefix}job_checkpoints")
    return (
        _on(f"{jobs}_insert_guard", f"BEFORE INSERT ON {jobs}", _refuse_first(_insert_faults(jobs))),
        _on(
            f"{jobs}_insert_history",
            f"AFTER INSERT ON {jobs}",
            _refuse_first([("NEW.id <= 0", "ids are counted by the database, from 1")]),
            _entry(events, "NULL", "NULL"),
        ),
        _on(
            f"{jobs}_update_guard",
            f"AFTER UPDATE ON {jobs}",
            _refuse_first(_update_faults(f"{prefix}lifecycle_edges", events)),
        ),
        # Apart from the guard: SQLite does not run a trigger inside itself, so what an entry sets off would escape it.
        _on(
            f"{jobs}_update_history",
            f"AFTER UPDATE ON {jobs} WHEN NEW.seq <> OLD.seq",
            _entry(events, "OLD.state", "OLD.worker_id"),
        ),
        _on(
            f"{jobs}_delete_guard",
            f"BEFORE DELETE ON {jobs}",
            _refuse_first([(equals_one("OLD.state", LIVE), "only a job that has ended may be deleted")]),
        ),
        _on(
            f"{jobs}_delete_cleanup",
            f"AFTER DELETE ON {jobs}",
            *(f"DELETE FROM {child} WHERE job_id = OLD.id" for child in children),
            # A deletion past the library leaves its record too; nobody said who did it, or when.
            f"INSERT INTO {prefix}deletions (id, kind, state, at, actor) "
            f"SELECT OLD.id, OLD.kind, OLD.state, OLD.finished_at, 'sql' "
            f"WHERE NOT EXISTS (SELECT 1 FROM {prefix}deletions WHERE id = OLD.id)",
        ),
        _on(
            f"{events}_insert_guard",
            f"BEFORE INSERT ON {events}",
            _refuse_first(
                [
                    (
                        f"NOT EXISTS (SELECT 1 FROM {jobs} WHERE id = NEW.job_id AND seq = NEW.seq) OR EXISTS "
                        f"(SELECT 1 FROM {events} WHERE job_id = NEW.job_id AND seq = NEW.seq)",
                        "history is written by its guard alone",
                    )
                ]
            ),
        ),
        _frozen(events, "UPDATE", "history is never changed"),
        _kept(events, jobs, "history goes only with its job"),
        _on(
            f"{specs}_insert_guard",
            f"BEFORE INSERT ON {specs}",
            _refuse_first(
                [
                    (
                        f"EXISTS (SELECT 1 FROM {specs} WHERE job_id = NEW.job_id) OR NOT EXISTS "
                        f"(SELECT 1 FROM {jobs} WHERE id = NEW.job_id)",
                        "a job has one specification, written when it is submitted",
                    )
                ]
            ),
        ),
        _frozen(specs, "UPDATE", "what was submitted is never changed"),
        _kept(specs, jobs, "a specification goes only with its job"),
        *_counter_guards(f"{prefix}pipelines"),
        *(
            _frozen(f"{prefix}{table}", verb, "the lifecycle is part of the program")
            for table in ("lifecycle_edges", "meta")
            for verb in ("INSERT", "UPDATE", "DELETE")
        ),
    )


def _counter_guards(pipelines: str) -> tuple[str, ...]:
    """No run number is used twice: the counter only rises, and stays."""
    message = "run numbers only rise"
    taken = f"EXISTS (SELECT 1 FROM {pipelines} WHERE pipeline_id = NEW.pipeline_id)"
    falls = "NEW.last_run_id <= OLD.last_run_id OR NEW.pipeline_id <> OLD.pipeline_id"
    return (
        _on(f"{pipelines}_insert_guard", f"BEFORE INSERT ON {pipelines}", _refuse_first([(taken, message)])),
        _on(f"{pipelines}_update_guard", f"BEFORE UPDATE ON {pipelines}", _refuse_first([(falls, message)])),
        _frozen(pipelines, "DELETE", message),
    )


def _insert_faults(jobs: str) -> list[tuple[str, str]]:
    return [
        (f"NOT {equals_one('NEW.state', INITIAL)}", f"a job begins in one of {', '.join(INITIAL)}"),
        (f"NEW.seq <> 1 OR NEW.trigger <> '{SUBMIT}'", "the history of a job begins with its submission"),
        ("NEW.attempt <> 0 OR NEW.lease_token <> 0 OR NEW.clean <> 0", "a job begins unclaimed"),
        # INSERT OR REPLACE would delete the row that stands in its way, without asking any delete guard.
        # Before it is numbered, a row has the id -1. A larger id would use up the numbers.
        ("NEW.id <> -1", "ids are counted by the database, from 1"),
        (
            f"NEW.key IS NOT NULL AND EXISTS (SELECT 1 FROM {jobs} WHERE key = NEW.key AND {IS_LIVE})",
            "a live job holds that key",
        ),
        # PRAGMA ignore_check_constraints switches CHECKs off; triggers stay.
        (f"NOT ({shape_condition('NEW.')})", "the row does not fit its state"),
    ]


def _update_faults(edges: str, events: str) -> list[tuple[str, str]]:
    fixed = " OR ".join(f"NEW.{column_of(field)} IS NOT OLD.{column_of(field)}" for field in FIXED_FIELDS)
    return [
        (equals_one("OLD.state", TERMINAL), "a job that has ended never changes"),
        (fixed, "id, kind, node_id, priority, key and created_at never change"),
        ("OLD.started_at IS NOT NULL AND NEW.started_at IS NOT OLD.started_at", "the first start never changes"),
        (f"NOT ({shape_condition('NEW.')})", "the row does not fit its state"),
        (
            "NEW.state = OLD.state AND (NEW.seq - OLD.seq NOT BETWEEN 0 AND 1 OR NEW.worker_id IS NOT OLD.worker_id "
            "OR NEW.lease_token <> OLD.lease_token OR NEW.attempt <> OLD.attempt OR NEW.failures <> OLD.failures) "
            f"OR NEW.state <> OLD.state AND (NEW.seq <> OLD.seq + 1 OR NOT ({_lease_rule()}))",
            "a change of state writes one history entry and moves the lease as its trigger says",
        ),
        (
            # A trigger or function of the caller's own may have changed the row since OLD was read. SQLite runs the
            # triggers of one event in any order: this entry may be written already, or not yet.
            f"(SELECT max(seq) FROM {events} WHERE job_id = OLD.id) NOT BETWEEN OLD.seq AND NEW.seq",
            "the job changed in the middle of its own update",
        ),
        (
            "NEW.state <> OLD.state AND NOT EXISTS (SELECT 1 FROM "
            f"{edges} WHERE from_state = OLD.state AND trigger = NEW.trigger AND to_state = NEW.state)",
            "the lifecycle has no such edge",
        ),
    ]


def _lease_rule() -> str:
    """What each trigger does to holder, token and attempt, as one condition over OLD and NEW."""
    gone = "NEW.worker_id IS NULL AND NEW.attempt = OLD.attempt AND NEW.lease_token"
    risen = "OLD.lease_token + (OLD.worker_id IS NOT NULL)"
    rules = {
        LeaseEffect.TAKES: "OLD.worker_id IS NULL AND NEW.worker_id IS NOT NULL "
        "AND NEW.lease_token = OLD.lease_token + 1 AND NEW.attempt = OLD.attempt + 1",
        LeaseEffect.KEEPS: "NEW.worker_id IS OLD.worker_id "
        "AND NEW.lease_token = OLD.lease_token AND NEW.attempt = OLD.attempt",
        LeaseEffect.ENDS: f"{gone} = OLD.lease_token",
        LeaseEffect.LOSES: f"{gone} = {risen}",
    }
    either = f"{gone} BETWEEN OLD.lease_token AND {risen}"
    return " OR ".join(
        f"NEW.trigger = '{trigger}' AND {either if trigger in EITHER_WAY else rules[LEASE_EFFECT[trigger]]}"
        for trigger in sorted(Trigger, key=_HOT_TRIGGERS.__contains__, reverse=True)
    )


def _entry(events: str, from_state: str, old_worker: str) -> str:
    """The statement that copies the newest history entry out of the row.

    With VALUES: what a SELECT yields goes through a temporary table where the target has triggers, at twice the cost.
    """
    return (
        f"INSERT INTO {events} (job_id, seq, at, from_state, to_state, trigger, actor, reason, node, attempt, token, "
        f"detail) VALUES (NEW.id, NEW.seq, NEW.updated_at, {from_state}, NEW.state, NEW.trigger, NEW.actor, "
        f"NEW.reason, coalesce(NEW.worker_id, {old_worker}), NEW.attempt, NEW.lease_token, NEW.detail)"
    )


def _refuse_first(faults: list[tuple[str, str]]) -> str:
    """A statement that raises the message of the first condition that holds."""
    cases = " ".join(f"WHEN {condition} THEN RAISE(ABORT, 'jobstate: {message}')" for condition, message in faults)
    return f"SELECT CASE {cases} END"


def _on(name: str, event: str, *statements: str) -> str:
    return f"CREATE TRIGGER {name} {event} BEGIN {'; '.join(statements)}; END"


def _frozen(table: str, verb: str, message: str) -> str:
    return _on(
        f"{table}_{verb.lower()}_guard", f"BEFORE {verb} ON {table}", f"SELECT RAISE(ABORT, 'jobstate: {message}')"
    )


def _kept(table: str, jobs: str, message: str) -> str:
    return _on(
        f"{table}_delete_guard",
        f"BEFORE DELETE ON {table}",
        _refuse_first([(f"EXISTS (SELECT 1 FROM {jobs} WHERE id = OLD.job_id)", message)]),
    )
