"""Claims, renewals, settling and the registered workers.

Claim, renewal and completion are decided in `jobstate.domain` and, for speed, written once more as SQL here; the
contract suite holds both to the same outcome.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jobstate.domain import leases as rules
from jobstate.domain.errors import JobNotFound, LeaseLost
from jobstate.domain.event import Actor, worker_actor
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.leases import Renewal
from jobstate.domain.lifecycle import State
from jobstate.domain.report import NOTHING, Report
from jobstate.domain.stop import StopMode
from jobstate.domain.transitions import Decision
from jobstate.ports.repository import Claimed, Decide, ExpiryPolicy, WorkerInfo
from jobstate.storage.engine import Engine
from jobstate.storage.jobs import SqlJobs
from jobstate.storage.mapping import CLAIM_FIELDS, Row, claimed_job, worker_of, worker_row
from jobstate.storage.reports import SqlReports
from jobstate.storage.statements.leases import LeaseStatements, WorkerStatements

_ID, _KIND, _SEQ = (CLAIM_FIELDS.index(field) for field in ("id", "kind", "seq"))
Taker = tuple[str, int, int, str]
"""The worker that claims, until when, now, and the actor for the history."""
Read = Callable[..., Iterable[Row]]
"""Runs a statement and yields its rows, inside a transaction or not."""


class SqlLeases:
    """`jobstate.ports.repository.Leases` over SQL."""

    def __init__(self, engine: Engine, statements: LeaseStatements, jobs: SqlJobs, reports: SqlReports) -> None:
        self._engine = engine
        self._sql = statements
        self._jobs = jobs
        self._reports = reports
        self._found_work = False

    def claim(
        self, node_id: str, kinds: Sequence[str] | None, lease: int, limit: int, now: int, expiry: ExpiryPolicy
    ) -> list[Claimed]:
        taker = (node_id, now + lease, now, worker_actor(node_id).name)
        if limit == 1:
            claimed = self._claim_head(kinds, taker)
            if claimed is not None:
                self._found_work = True
                return [claimed]
        # An idle worker only reads and leaves the write lock to others. One that found work the last time takes the
        # lock at once.
        if not self._found_work:
            self.settle(now, expiry)
            if not self._due(self._engine.read, node_id, kinds, limit, now):
                return []
        with self._engine.transaction() as connection:
            self._settle_overdue(connection, now, expiry)
            due = self._due(connection.execute, node_id, kinds, limit, now)
            taken = [self._claim_locked(connection, job_id, taker) for job_id in due]
        self._found_work = bool(taken)
        return taken

    def renew(self, leases: Sequence[Lease], lease: int, now: int, expiry: ExpiryPolicy) -> list[Renewal]:
        values = {"leases": json.dumps(leases), "until": now + lease, "now": now}
        held = _renewals(self._engine.run_relaxed(self._sql.renew, values)) if leases else {}
        for one in leases:
            if one not in held:
                self._settle_own(one, now, expiry)
        self.settle(now, expiry)
        self._engine.connections.verify_schema_if_due()
        return [held.get(one, Renewal(one.job_id, one.token, held=False)) for one in leases]

    def look(self, leases: Sequence[Lease]) -> list[Renewal]:
        held = _renewals(self._engine.read(self._sql.look, {"leases": json.dumps(leases)}))
        return [held.get(one, Renewal(one.job_id, one.token, held=False)) for one in leases]

    def change(self, lease: Lease, decide: Decide, report: Report = NOTHING) -> Decision:
        with self._engine.transaction() as connection:
            if report and self._reports.is_held(connection, lease):
                self._reports.write(connection, lease, report)
            try:
                return self._jobs.change_within(connection, lease.job_id, decide, lease.token)
            except JobNotFound:
                raise LeaseLost(lease.job_id, lease.token) from None

    def complete(self, leases: Sequence[Lease], now: int, by: Actor) -> list[Lease]:
        actor, reason = by
        written = (now, now, actor) if reason is None else (now, now, actor, reason)
        complete = self._sql.complete if reason is None else self._sql.complete_for_a_reason
        if len(leases) == 1:
            return [] if self._engine.count(complete, (*written, *leases[0])) == 1 else [*leases]
        with self._engine.transaction() as connection:
            return [lease for lease in leases if connection.execute(complete, (*written, *lease)).rowcount != 1]

    def settle(self, now: int, expiry: ExpiryPolicy) -> list[JobRow]:
        if not self._engine.read(self._sql.overdue, (now, expiry.limit)):
            return []
        with self._engine.transaction() as connection:
            return self._settle_overdue(connection, now, expiry)

    def _due(self, read: Read, node_id: str, kinds: Sequence[str] | None, limit: int, now: int) -> list[int]:
        """The ids of the next due jobs, in claim order."""
        wanted = {"node_id": node_id, "now": now, "kinds": None if kinds is None else json.dumps(kinds)}
        any_node, own_node = self._sql.due
        ids: list[int] = []
        found: list[Row] = []
        before = None
        for priority, kind in self._places(read, kinds, wanted):
            if priority != before:
                ids += [job_id for _, job_id in sorted(found)]
                found = []
                if len(ids) >= limit:
                    break
            found += read(any_node, (priority, kind, now, limit))
            found += read(own_node, (priority, kind, node_id, now, limit))
            if kinds == [kind] and len(ids) + len(found) >= limit:
                break
            before = priority
        ids += [job_id for _, job_id in sorted(found)]
        return ids[:limit]

    def _places(self, read: Read, kinds: Sequence[str] | None, wanted: dict[str, object]) -> Iterator[Row]:
        """The priorities and kinds at which something is due, from the lowest priority on.

        First the head of the queue, often all that a claim needs; then all others.
        """
        head = [*read(self._sql.head)]
        if head:
            yield from (place for place in head if kinds is None or place[1] in kinds)
            yield from (place for place in [*read(self._sql.places, wanted)] if place not in head)

    def _claim_head(self, kinds: Sequence[str] | None, taker: Taker) -> Claimed | None:
        """Claim the head of the queue, when nothing is overdue and it is what a claim of one job takes.

        It often is. Then one read and one write do, at two thirds of the cost of a transaction. The read holds no lock,
        so another worker may be faster: None, and the claim continues under the lock.
        """
        node_id, _, now, _ = taker
        only = kinds[0] if kinds is not None and len(kinds) == 1 else None
        heads = self._engine.read(self._sql.head_to_claim, (node_id, now, only, now, now, only))
        if not heads:
            return None
        row, (is_it, something_is_overdue) = heads[0][:-2], heads[0][-2:]
        if not is_it or something_is_overdue or (kinds is not None and row[_KIND] not in kinds):
            return None
        if self._engine.count(self._sql.claim, _claim_values(row[_ID], row[_SEQ], taker)) != 1:
            return None
        return Claimed(claimed_job(row, *taker), None, {})

    def _claim_locked(self, connection: sqlite3.Connection, job_id: int, taker: Taker) -> Claimed:
        """Claim a job that was found under the write lock."""
        # Read before and not by RETURNING, which puts the row into a temporary table.
        (*row, checkpoint_id) = connection.execute(self._sql.to_claim, (job_id,)).fetchone()
        self._jobs.write(connection, self._sql.claim, _claim_values(job_id, row[_SEQ], taker), job_id)
        job = claimed_job(row, *taker)
        if checkpoint_id is None and job.attempt == 1:
            return Claimed(job, None, {})
        return self._reports.restore(connection, job, checkpoint_id)

    def _settle_overdue(self, connection: sqlite3.Connection, now: int, expiry: ExpiryPolicy) -> list[JobRow]:
        overdue = connection.execute(self._sql.overdue, (now, expiry.limit)).fetchall()
        decisions = [self._settle(connection, job_id, now, expiry) for job_id, _ in overdue]
        return [decision.job for decision in decisions if decision.steps]

    def _settle(self, connection: sqlite3.Connection, job_id: int, now: int, expiry: ExpiryPolicy) -> Decision:
        def decide(job: JobRow) -> Decision:
            if job.worker_id is not None and expiry.in_grace():
                return Decision(job)
            return rules.settle(job, now, expiry.by, expiry.chance())

        return self._jobs.change_within(connection, job_id, decide)

    def _settle_own(self, lease: Lease, now: int, expiry: ExpiryPolicy) -> None:
        """Settle a lease that was not renewed, unless another worker holds the job by now."""
        with self._engine.transaction() as connection:
            if self._reports.is_held(connection, lease):
                self._settle(connection, lease.job_id, now, expiry)


def _claim_values(job_id: int, seq: int, taker: Taker) -> tuple[Any, ...]:
    """The values of a claim, in the order in which its statement has them."""
    node_id, until, now, actor = taker
    return (node_id, until, now, now, now, actor, job_id, seq, now)


def _renewals(rows: Iterable[Row]) -> dict[Lease, Renewal]:
    found = {}
    for job_id, token, state, mode, deadline, reason, rescale_to in rows:
        stop = None if mode is None else StopMode(mode)
        found[Lease(job_id, token)] = Renewal(job_id, token, True, State(state), stop, deadline, reason, rescale_to)
    return found


class SqlWorkers:
    """`jobstate.ports.repository.Workers` over SQL."""

    def __init__(self, engine: Engine, statements: WorkerStatements) -> None:
        self._engine = engine
        self._sql = statements

    def register(self, worker: WorkerInfo) -> None:
        self._engine.run_relaxed(self._sql.register, worker_row(worker))

    def leave(self, node_id: str, started: int) -> None:
        self._engine.run(self._sql.leave, {"node_id": node_id, "started_at": started})

    def listed(self) -> list[WorkerInfo]:
        return [worker_of(row) for row in self._engine.read(self._sql.listed)]
