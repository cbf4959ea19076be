"""The rows of jobs: inserts, reads, changes by decisions of the domain, deletion."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jobstate.domain.errors import DuplicateJob, GuardViolation, JobNotFound
from jobstate.domain.event import Actor
from jobstate.domain.job_row import JobRow
from jobstate.domain.leases import settle
from jobstate.domain.lifecycle import State
from jobstate.domain.operator_actions import check_deletable
from jobstate.domain.restart_requests import RestartRequest, check_restartable, successor
from jobstate.domain.submission import NewJob, same_submission
from jobstate.domain.transitions import Decision
from jobstate.ports.queries import Filter, Order
from jobstate.ports.repository import Decide, ExpiryPolicy
from jobstate.storage.engine import Engine
from jobstate.storage.mapping import (
    given,
    inserted,
    inserted_plain,
    inserted_plain_spec,
    inserted_spec,
    job_of,
    submitted_job,
    version_of,
)
from jobstate.storage.reports import SqlReports
from jobstate.storage.statements.jobs import JobStatements
from jobstate.storage.statements.lists import ListShape, ListStatements

_CREATED, _SCHEDULED = (state.value for state in (State.CREATED, State.SCHEDULED))  # reading `.value` costs a call


class _Origin(NamedTuple):
    """The origin of a restart: the first job of its lineage, the one it restarts, and the newest token of them all.

    Its own tokens continue above that one, so a system that fences writes by token sees it only rise.
    """

    root_id: int
    restarted_from: int
    token: int


class SqlJobs:
    """`jobstate.ports.repository.Jobs` over SQL."""

    def __init__(
        self, engine: Engine, statements: JobStatements, lists: ListStatements, reports: Callable[[], SqlReports]
    ) -> None:
        self._engine = engine
        self._reports = reports
        self._sql = statements
        self._lists = lists

    def submit(self, new: Sequence[NewJob], now: int, by: Actor) -> list[JobRow]:
        with self._engine.transaction() as connection:
            if len(new) == 1:  # the frequent case: a comprehension costs a call
                return [self._submit(connection, new[0], now, by)]
            return [self._submit(connection, one, now, by) for one in new]

    def find(self, job_id: int) -> JobRow | None:
        rows = self._engine.read(self._sql.find, {"id": job_id})
        return job_of(rows[0]) if rows else None

    def page(self, wanted: Filter, limit: int, before: int | None) -> list[JobRow]:
        if not wanted.states:
            return []
        values = {**_values(wanted, before), "limit": limit}
        return [job_of(row) for row in self._engine.read(self._lists.page(_shape(wanted, before)), values)]

    def ordered(self, wanted: Filter, order: Order, limit: int, offset: int, before: int | None) -> list[JobRow]:
        if not wanted.states:
            return []
        values = {**_values(wanted, before), "limit": limit, "offset": offset, "through": limit + offset}
        statement = self._lists.ordered(_shape(wanted, before), order)
        return [job_of(row) for row in self._engine.read(statement, values)]

    def counts(self) -> dict[State, int]:
        found = dict.fromkeys(State, 0)
        for statement in (self._sql.count_live, self._sql.count_ended):
            found.update({State(state): count for state, count in self._engine.read(statement)})
        return found

    def change(self, job_id: int, decide: Decide) -> Decision:
        with self._engine.transaction() as connection:
            return self.change_within(connection, job_id, decide)

    def change_within(
        self, connection: sqlite3.Connection, job_id: int, decide: Decide, token: int | None = None
    ) -> Decision:
        """`change`, inside the transaction of the caller; a holder presents its token to the guard."""
        row = connection.execute(self._sql.find, {"id": job_id}).fetchone()
        if row is None:
            raise JobNotFound(job_id)
        decision = decide(job_of(row))
        for version in decision.steps:
            fence = None if token is None else token + version.seq - 1
            self.write(connection, self._sql.write_version, (fence, *version_of(version)), job_id)
        return decision

    def write(self, connection: sqlite3.Connection, statement: str, values: tuple[Any, ...], job_id: int) -> None:
        """Run a guarded statement that changes the job as it was read under the write lock."""
        if connection.execute(statement, values).rowcount != 1:
            raise GuardViolation(self._engine.connections.path, f"job {job_id} changed under the write lock")

    def restart(self, job_id: int, wish: RestartRequest, now: int, expiry: ExpiryPolicy, by: Actor) -> JobRow:
        with self._engine.transaction() as connection:
            job = self.change_within(
                connection, job_id, lambda found: settle(found, now, expiry.by, expiry.chance(), unheld_too=False)
            ).job
            successors = connection.execute(self._sql.live_successors, {"id": job_id}).fetchone()
            check_restartable(job, None if successors is None else successors[0])
            checkpoint = self._reports().restorable(connection, job, wish.checkpoint)
            new = successor(job, wish)
            held = connection.execute(self._sql.find_key, {"key": new.key}).fetchone()
            if new.key is not None and held is not None:
                raise DuplicateJob(new.key, job_of(held).id, "it took the key since")
            (token,) = connection.execute(self._sql.newest_token, {"root_id": job.root_id}).fetchone()
            restarted = self._submit(connection, new, now, by, _Origin(job.root_id, job.id, token))
            if checkpoint is not None:
                self._reports().copy(connection, checkpoint, restarted)
            return restarted

    def delete(self, job_id: int, now: int, by: Actor) -> bool:
        with self._engine.transaction() as connection:
            row = connection.execute(self._sql.find, {"id": job_id}).fetchone()
            if row is None:
                return False
            check_deletable(job_of(row))
            self._remove(connection, [job_id], now, by)
            return True

    def prune(
        self,
        states: frozenset[State],
        finished_before: int | None,
        limit: int,
        now: int,
        by: Actor,
        entries: int | None = None,
    ) -> int:
        # Read before the write lock is taken: a job that has ended never changes; at most another process deletes it.
        ids: list[int] = []
        for state in sorted(states):
            statement = self._lists.ended(state, older=finished_before is not None, count=False)
            ids += [
                job_id
                for (job_id,) in self._engine.read(statement, {"before": finished_before, "limit": limit - len(ids)})
            ]
        if not ids:
            return 0
        if entries is not None:
            ids = self._within_entries(ids, entries)
        with self._engine.transaction() as connection:
            return self._remove(connection, ids, now, by)

    def prunable(self, states: frozenset[State], finished_before: int | None) -> int:
        return sum(
            self._engine.read(
                self._lists.ended(state, older=finished_before is not None, count=True), {"before": finished_before}
            )[0][0]
            for state in states
        )

    def forget_deletions(self, before: int) -> int:
        with self._engine.transaction() as connection:
            return connection.execute(self._sql.forget_deletions, {"before": before}).rowcount

    def _submit(
        self, connection: sqlite3.Connection, new: NewJob, now: int, by: Actor, origin: _Origin | None = None
    ) -> JobRow:
        if new.key is not None:
            held = connection.execute(self._sql.find_key, {"key": new.key}).fetchone()
            if held is not None:
                return _duplicate(job_of(held), new)
        run_id = None if new.pipeline_id is None else self._next_run(connection, new.pipeline_id)
        state, name = (State.CREATED, _CREATED) if new.hold else (State.SCHEDULED, _SCHEDULED)
        available = now if new.available_us is None else new.available_us
        values = given(new, name, available, run_id, 0 if origin is None else origin.token, now, by)
        if new.key is None and by.reason is None:
            job_id = connection.execute(self._sql.insert_plain_job, inserted_plain(*values)).lastrowid
        else:
            job_id = connection.execute(self._sql.insert_job, inserted(*values)).lastrowid
        assert job_id is not None
        root_id, restarted_from = (job_id, None) if origin is None else (origin.root_id, origin.restarted_from)
        values = (*values, job_id, root_id, restarted_from, state)
        if new.pipeline_id is None and origin is None and new.retry_json is None:
            connection.execute(self._sql.insert_plain_spec, inserted_plain_spec(*values))
        else:
            connection.execute(self._sql.insert_spec, inserted_spec(*values))
        return submitted_job(values)

    def _next_run(self, connection: sqlite3.Connection, pipeline_id: str) -> int:
        """The next run number of this pipeline, under the write lock."""
        values = {"pipeline_id": pipeline_id}
        rows = connection.execute(self._sql.next_run, values).fetchall()
        if rows:
            return int(rows[0][0])
        connection.execute(self._sql.first_run, values)
        return 1

    def _within_entries(self, ids: list[int], entries: int) -> list[int]:
        """The first of these jobs whose logs have at most `entries` together; at least one."""
        together, number = 0, 0
        for _, newest in self._engine.read(self._sql.log_lengths, {"ids": json.dumps(ids)}):
            together += newest
            if number and together > entries:
                break
            number += 1
        return ids[:number]

    def _remove(self, connection: sqlite3.Connection, ids: list[int], now: int, by: Actor) -> int:
        values = {"ids": json.dumps(ids), "now": now, "actor": by.name, "reason": by.reason}
        connection.execute(self._sql.record_deletions, values)
        return connection.execute(self._sql.delete_jobs, values).rowcount


def _shape(wanted: Filter, before: int | None) -> ListShape:
    return ListShape(
        wanted.states,
        before=before is not None,
        kind=wanted.kind is not None,
        node=wanted.node_id is not None,
        pipeline=wanted.pipeline_id is not None,
        labels=len(wanted.labels),
    )


def _values(wanted: Filter, before: int | None) -> dict[str, object]:
    values: dict[str, object] = {
        "before": before,
        "kind": wanted.kind,
        "node_id": wanted.node_id,
        "pipeline_id": wanted.pipeline_id,
    }
    for number, (name, value) in enumerate(wanted.labels.items()):
        values[f"label{number}"], values[f"value{number}"] = name, value
    return values


def _duplicate(held: JobRow, new: NewJob) -> JobRow:
    """The live job with the key, if the submission equals it; else DuplicateJob."""
    why = same_submission(held, new)
    if why is not None:
        assert new.key is not None
        raise DuplicateJob(new.key, held.id, why)
    return held.as_duplicate()
