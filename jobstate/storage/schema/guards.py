"""The triggers by which the database itself enforces the lifecycle on every writer; generated from the table.

A trigger sees rows only, not the statement. So the row carries who changes it and why (`trigger`, `actor`, `reason`,
`detail`) and the number of its newest history entry (`seq`); a change of state must raise `seq`, and the guard copies
the entry into the history in the same statement. A writer of the file can still `DROP TRIGGER`;
comparing the schema finds that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from jobstate.domain.checkpoints import CheckpointState
from jobstate.domain.event import SUBMIT
from jobstate.domain.lifecycle import (
    AUTHORITY,
    EDGES,
    EITHER_WAY,
    INITIAL,
    LEASE_EFFECT,
    LIVE,
    NOTED,
    Authority,
    LeaseEffect,
    State,
    Trigger,
)
from jobstate.storage.mapping import FIXED_FIELDS, MUTABLE_FIELDS, column_of
from jobstate.storage.schema.constraints import IS_ENDED, IS_LIVE, equals_one, shape_condition

_HOT_TRIGGERS: Final = (Trigger.CLAIM, Trigger.COMPLETE)
_INITIAL: Final = sorted(INITIAL, reverse=True)  # Scheduled, the frequent one, first
_FIXED_COLUMNS: Final = tuple(column_of(field) for field in FIXED_FIELDS if field != "id")
_FIXED: Final = f"id, {', '.join(_FIXED_COLUMNS[:-1])} and {_FIXED_COLUMNS[-1]} never change"
_LAST_FIRST_TOKEN: Final = 2**62
"""A restart continues the tokens of its lineage, so some must be left."""
_PROGRAM: Final = "the lifecycle is part of the program"
_RISEN: Final = "OLD.lease_token + (OLD.worker_id IS NOT NULL)"
_PRESENTED: Final = "OLD.worker_id IS NOT NULL AND NEW.fence IS OLD.lease_token + OLD.seq"
"""The statement presents the token of the lease, for the entry that it writes.

With IS, as a comparison with NULL would let it pass. No value that an earlier statement left in the row fits again:
token and `seq` only rise.
"""
_RENEWED: Final = "OLD.worker_id IS NOT NULL AND NEW.fence IS -(OLD.lease_token + NEW.lease_expires_at + NEW.clean)"
"""The statement presents the token, and writes no entry."""
_ABSENT: Final = "NEW.fence IS NULL"
_FENCED: Final = "the token of the lease, which the statement must present, is another, or it must present none"
_KEPT_COLUMNS: Final = tuple(
    column_of(field) for field in MUTABLE_FIELDS if field not in ("lease_expires_us", "clean", "seq")
)
"""What changes only with a history entry."""
_ONE_ENTRY: Final = "a change of state writes one history entry and moves the lease as its trigger says"


def edge_rows() -> list[tuple[str, str, str]]:
    """The rows of the edge table."""
    return [(source.value, trigger.value, target.value) for source, trigger, target in EDGES]


@cache
def guards(prefix: str) -> tuple[str, ...]:
    """The triggers as SQL, each refusing with a message that begins with `jobstate:`."""
    jobs, specs, events = f"{prefix}jobs", f"{prefix}job_specs", f"{prefix}job_events"
    reports = (f"{prefix}job_{what}" for what in ("progress", "checkpoints", "metrics", "logs", "output"))
    children = (specs, events, *reports)
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
            f"SELECT {_first(_update_cases(f'{prefix}lifecycle_edges', events))}",
        ),
        # Apart from the guard: SQLite runs it only for statements that name these columns; those of jobstate never do.
        # The guard itself checks the id, which has other names too.
        _on(
            f"{jobs}_fixed_guard",
            f"AFTER UPDATE OF {', '.join(_FIXED_COLUMNS)} ON {jobs}",
            _refuse_first([(" OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _FIXED_COLUMNS), _FIXED)]),
        ),
        # Apart from the guard: SQLite does not run a trigger inside itself, so it would miss what an entry causes.
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
            *_remembered_numbers(prefix),
            *(f"DELETE FROM {child} WHERE job_id = OLD.id" for child in children),
            # A deletion past the library leaves its record too, without its actor and time, which are unknown.
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
        # The end of a lease, by any verb, fails the checkpoint that was in progress under it.
        _on(
            f"{jobs}_checkpoints_end",
            f"AFTER UPDATE OF worker_id ON {jobs} WHEN NEW.worker_id IS NULL AND OLD.worker_id IS NOT NULL",
            f"UPDATE {prefix}job_checkpoints SET status = '{CheckpointState.FAILED}', finish_at = NEW.updated_at, "
            f"failure = 'its lease ended' WHERE job_id = NEW.id AND status = '{CheckpointState.IN_PROGRESS}'",
        ),
        *_checkpoint_guards(f"{prefix}job_checkpoints", jobs),
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
        *_run_number_guards(f"{prefix}pipelines"),
        *_counter_guards(
            f"{prefix}lineages",
            "root_id",
            ("newest_token", "newest_epoch"),
            "the tokens and epochs of a lineage only rise",
        ),
        *_worker_guards(f"{prefix}workers"),
        *(_frozen(f"{prefix}lifecycle_edges", verb, _PROGRAM) for verb in ("INSERT", "UPDATE", "DELETE")),
        *(_frozen(f"{prefix}meta", verb, _PROGRAM) for verb in ("INSERT", "DELETE")),
        # How much a power cut may take back is not for a statement to loosen.
        _on(
            f"{prefix}meta_update_guard",
            f"BEFORE UPDATE ON {prefix}meta",
            _refuse_first([("OLD.name <> 'durability' OR NEW.name <> OLD.name OR NEW.value <> 'full'", _PROGRAM)]),
        ),
    )


def _checkpoint_guards(table: str, jobs: str) -> tuple[str, ...]:
    """The guards of checkpoints: each is written under the lease whose token it holds, and then never changes."""
    in_progress, completed, failed = (str(status) for status in CheckpointState)
    live = f"SELECT 1 FROM {jobs} WHERE worker_id IS NOT NULL AND"
    copied = f"EXISTS (SELECT 1 FROM {jobs} WHERE id = NEW.job_id AND attempt = 0)"
    fixed = ("id", "job_id", "root_id", "epoch", "token", "start_at", "snapshot")
    return (
        _on(
            f"{table}_insert_guard",
            f"BEFORE INSERT ON {table}",
            _refuse_first(
                [
                    (
                        f"NEW.id <> -1 OR EXISTS (SELECT 1 FROM {table} WHERE root_id = NEW.root_id "
                        "AND epoch = NEW.epoch)",
                        "the epoch of a checkpoint is used once",
                    ),
                    (
                        f"NOT (NEW.status = '{in_progress}' AND EXISTS "
                        f"({live} id = NEW.job_id AND lease_token = NEW.token) "
                        f"OR NEW.status = '{completed}' AND NEW.token = 0 AND {copied})",
                        "a checkpoint is written by the holder of the lease, with its token",
                    ),
                ]
            ),
        ),
        _on(
            f"{table}_update_guard",
            f"BEFORE UPDATE ON {table}",
            _refuse_first(
                [
                    (
                        " OR ".join(
                            (
                                f"OLD.status <> '{in_progress}'",
                                *(f"NEW.{column} IS NOT OLD.{column}" for column in fixed),
                            )
                        ),
                        "a checkpoint that has ended never changes",
                    ),
                    (
                        f"NEW.status <> '{failed}' AND NOT EXISTS ({live} id = OLD.job_id AND lease_token = OLD.token)",
                        "a checkpoint is written by the holder of the lease, with its token",
                    ),
                ]
            ),
        ),
        _on(
            f"{table}_delete_guard",
            f"BEFORE DELETE ON {table}",
            _refuse_first(
                [
                    (
                        f"EXISTS (SELECT 1 FROM {jobs} WHERE id = OLD.job_id AND {IS_LIVE}) AND NOT EXISTS "
                        f"(SELECT 1 FROM {table} WHERE job_id = OLD.job_id AND status = OLD.status "
                        "AND epoch > OLD.epoch)",
                        "the newest checkpoint of a live job stays",
                    )
                ]
            ),
        ),
    )


def _remembered_numbers(prefix: str) -> tuple[str, ...]:
    """The statements that keep the newest token and epoch of a deleted job; those of its lineage continue above them.

    Only for a restart, or a job that was restarted: no other job is continued.
    """
    specs, lineages = f"{prefix}job_specs", f"{prefix}lineages"
    epoch = f"coalesce((SELECT max(epoch) FROM {prefix}job_checkpoints WHERE job_id = OLD.id), 0)"
    root = (
        f"(SELECT root_id FROM {specs} WHERE job_id = OLD.id AND (restarted_from IS NOT NULL OR EXISTS "
        f"(SELECT 1 FROM {specs} WHERE root_id = OLD.id AND restarted_from IS NOT NULL)))"
    )
    return (
        f"UPDATE {lineages} SET newest_token = max(newest_token, OLD.lease_token), "
        f"newest_epoch = max(newest_epoch, {epoch}) "
        f"WHERE root_id = {root} AND (newest_token < OLD.lease_token OR newest_epoch < {epoch})",
        f"INSERT INTO {lineages} (root_id, newest_token, newest_epoch) SELECT root_id, OLD.lease_token, {epoch} "
        f"FROM {specs} WHERE job_id = OLD.id AND root_id = {root} AND root_id NOT IN (SELECT root_id FROM {lineages})",
    )


def _run_number_guards(table: str) -> tuple[str, ...]:
    """Guards of the run counters: from 1, by one."""
    taken = f"EXISTS (SELECT 1 FROM {table} WHERE pipeline_id = NEW.pipeline_id)"
    jumps = "NEW.last_run_id <> OLD.last_run_id + 1 OR NEW.pipeline_id <> OLD.pipeline_id"
    message = "run numbers only rise, by one"
    return (
        _on(
            f"{table}_insert_guard",
            f"BEFORE INSERT ON {table}",
            _refuse_first([(f"NEW.last_run_id <> 1 OR {taken}", message)]),
        ),
        _on(f"{table}_update_guard", f"BEFORE UPDATE ON {table}", _refuse_first([(jumps, message)])),
        _frozen(table, "DELETE", message),
    )


def _worker_guards(table: str) -> Iterator[str]:
    """Guards of what a list of workers reads."""
    is_list = "json_valid(NEW.kinds) AND json_type(NEW.kinds) = 'array'"
    wrong = f"NEW.kinds IS NOT NULL AND NOT ({is_list}) OR NEW.concurrency < 0"
    for verb in ("INSERT", "UPDATE"):
        yield _on(
            f"{table}_{verb.lower()}_guard",
            f"BEFORE {verb} ON {table}",
            _refuse_first([(wrong, "a worker has a list of kinds, and 0 or more slots")]),
        )


def _counter_guards(table: str, key: str, counters: tuple[str, ...], message: str) -> tuple[str, ...]:
    """Guards against using a number twice: the counters only rise, by one or more, and are never deleted."""
    taken = f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"
    fallen = [f"NEW.{counter} < OLD.{counter}" for counter in counters]
    unchanged = " AND ".join(f"NEW.{counter} = OLD.{counter}" for counter in counters)
    falls = " OR ".join((*fallen, unchanged, f"NEW.{key} <> OLD.{key}"))
    return (
        _on(f"{table}_insert_guard", f"BEFORE INSERT ON {table}", _refuse_first([(taken, message)])),
        _on(f"{table}_update_guard", f"BEFORE UPDATE ON {table}", _refuse_first([(falls, message)])),
        _frozen(table, "DELETE", message),
    )


def _insert_faults(jobs: str) -> list[tuple[str, str]]:
    return [
        (" AND ".join(f"NEW.state <> '{state}'" for state in _INITIAL), f"a job begins in one of {', '.join(INITIAL)}"),
        (f"NEW.seq <> 1 OR NEW.trigger <> '{SUBMIT}'", "the history of a job begins with its submission"),
        (
            f"NEW.attempt <> 0 OR NEW.clean <> 0 OR NEW.lease_token NOT BETWEEN 0 AND {_LAST_FIRST_TOKEN}",
            "a job begins unclaimed",
        ),
        # INSERT OR REPLACE would delete a conflicting row without running any delete guard.
        # Before it is numbered, a row has the id -1. A larger id would use up the numbers.
        ("NEW.id <> -1", "ids are counted by the database, from 1"),
        (
            f"NEW.key IS NOT NULL AND EXISTS (SELECT 1 FROM {jobs} WHERE key = NEW.key AND {IS_LIVE})",
            "a live job holds that key",
        ),
        ("NEW.fence IS NOT NULL", "a job begins unclaimed"),
        # PRAGMA ignore_check_constraints switches CHECKs off; triggers stay.
        (f"NOT ({shape_condition('NEW.', INITIAL)})", "the row does not fit its state"),
    ]


def _update_cases(edges: str, events: str) -> list[str]:
    """The cases that refuse an update. The frequent steps leave after their own cases; only others read the edges."""
    lease_rules = _lease_rules()
    authority = {trigger: _authority(trigger) for trigger in Trigger}
    legal = [
        f"WHEN NEW.trigger = '{trigger}' AND NEW.state = '{target}' AND {equals_one('OLD.state', sources)} "
        f"AND {lease_rules[trigger]} AND {authority[trigger]} THEN NULL"
        for trigger in _HOT_TRIGGERS
        for target, sources in _by_target(trigger)
    ]
    allowed = " OR ".join(f"NEW.trigger = '{trigger}' AND {who}" for trigger, who in authority.items())
    known = " OR ".join(f"NEW.trigger = '{trigger}' AND {rule}" for trigger, rule in lease_rules.items())
    noted = " OR ".join(f"NEW.trigger = '{trigger}' AND {authority[trigger]}" for trigger in sorted(NOTED))
    same = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in _KEPT_COLUMNS)
    note = [
        _refused(
            "NEW.seq - OLD.seq NOT BETWEEN 0 AND 1 OR NEW.worker_id IS NOT OLD.worker_id OR NEW.lease_token <> "
            "OLD.lease_token OR NEW.attempt <> OLD.attempt OR NEW.failures <> OLD.failures",
            _ONE_ENTRY,
        ),
        # A trigger or function of the caller's own may have changed the row since OLD was read. Where a new entry is
        # written, the guard of the history sees it: that entry exists already.
        _refused(
            f"NEW.seq = OLD.seq AND (SELECT max(seq) FROM {events} WHERE job_id = OLD.id) > OLD.seq",
            "the job changed in the middle of its own update",
        ),
        _refused(f"NEW.seq <> OLD.seq AND NOT coalesce({noted}, 0)", _FENCED),
        _refused(f"NEW.seq = OLD.seq AND NOT ({same})", "only the lease changes without a history entry"),
        _refused(f"NEW.seq = OLD.seq AND NOT ({_RENEWED})", _FENCED),
    ]
    return [
        _refused(f"OLD.{IS_ENDED}", "a job that has ended never changes"),
        _refused("NEW.id <> OLD.id", _FIXED),
        _refused(
            "OLD.started_at IS NOT NULL AND NEW.started_at IS NOT OLD.started_at", "the first start never changes"
        ),
        _refused(f"NOT ({shape_condition('NEW.')})", "the row does not fit its state"),
        f"WHEN NEW.state = OLD.state THEN {_first(note)}",
        _refused("NEW.seq <> OLD.seq + 1", _ONE_ENTRY),
        *legal,
        _refused(f"NOT ({known})", _ONE_ENTRY),
        _refused(f"NOT coalesce({allowed}, 0)", _FENCED),
        _refused(
            f"NOT EXISTS (SELECT 1 FROM {edges} WHERE from_state = OLD.state AND trigger = NEW.trigger "
            "AND to_state = NEW.state)",
            "the lifecycle has no such edge",
        ),
    ]


def _by_target(trigger: Trigger) -> list[tuple[State, list[State]]]:
    """The states to which a trigger leads, each with those it leads from."""
    targets = sorted({target for _, pulled, target in EDGES if pulled is trigger})
    return [(to, [source for source, pulled, target in EDGES if (pulled, target) == (trigger, to)]) for to in targets]


def _lease_rules() -> dict[Trigger, str]:
    """The effect of each trigger on holder, token and attempt, as a condition over OLD and NEW."""
    gone = "NEW.worker_id IS NULL AND NEW.attempt = OLD.attempt AND NEW.lease_token"
    risen = _RISEN
    rules = {
        LeaseEffect.TAKES: "OLD.worker_id IS NULL AND NEW.worker_id IS NOT NULL "
        "AND NEW.lease_token = OLD.lease_token + 1 AND NEW.attempt = OLD.attempt + 1",
        LeaseEffect.KEEPS: "NEW.worker_id IS OLD.worker_id "
        "AND NEW.lease_token = OLD.lease_token AND NEW.attempt = OLD.attempt",
        LeaseEffect.ENDS: f"{gone} = OLD.lease_token",
        LeaseEffect.LOSES: f"{gone} = {risen}",
    }
    either = f"{gone} BETWEEN OLD.lease_token AND {risen}"  # `_authority` says which
    return {trigger: either if trigger in EITHER_WAY else rules[LEASE_EFFECT[trigger]] for trigger in Trigger}


def _authority(trigger: Trigger) -> str:
    """Whether the statement may pull the trigger, by the token that it presents, as a condition over OLD and NEW."""
    return {
        Authority.HOLDER: _PRESENTED,
        Authority.OTHERS: _ABSENT,
        Authority.EITHER: f"({_PRESENTED} AND NEW.lease_token = OLD.lease_token "
        f"OR {_ABSENT} AND NEW.lease_token = {_RISEN})",
        Authority.HOLDER_UNTIL_EXPIRY: f"({_PRESENTED} OR {_ABSENT} AND OLD.lease_expires_at <= NEW.updated_at)",
        Authority.HOLDER_IF_ANY: f"({_PRESENTED} OR {_ABSENT} AND OLD.worker_id IS NULL)",
    }[AUTHORITY[trigger]]


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
    return f"SELECT {_first([_refused(condition, message) for condition, message in faults])}"


def _first(cases: list[str]) -> str:
    return f"CASE {' '.join(cases)} END"


def _refused(condition: str, message: str) -> str:
    return f"WHEN {condition} THEN RAISE(ABORT, 'jobstate: {message}')"


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
