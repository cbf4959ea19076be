"""Claims, renewals, completions, overdue jobs and registered workers: the hot statements."""

from __future__ import annotations

from typing import Any, Final

from peewee import JOIN, SQL, Case, NodeList, Select, Tuple, fn

from jobstate.domain.checkpoints import CheckpointState
from jobstate.domain.lifecycle import LEASED, State, Trigger, sources
from jobstate.storage.mapping import CLAIM_FIELDS, WORKER_COLUMNS
from jobstate.storage.schema.constraints import IS_CLAIMABLE, IS_LEASED, OVERDUE_AT
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, among, by_place, literal, sql
from jobstate.storage.statements.fragments import PRESENTED, by_index, columns_of, held, json_rows

_RENEWAL: Final = ("id", "lease_token", "state", "stop_mode", "stop_deadline_at", "stop_reason", "rescale_to")


class LeaseStatements:
    """The SQL of `jobstate.storage.leases`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.head = (
            f"SELECT priority, kind FROM {self._queue(f'priority >= {-(2**63)}')} ORDER BY priority, kind LIMIT 1"
        )
        self.places = self._places()
        self.due = tuple(
            by_place(self._due(node), "priority", "kind", *names, "now", "limit")
            for node, names in ((literal(""), ()), (Param("node_id"), ("node_id",)))
        )
        jobs, checkpoints = tables.jobs, tables.checkpoints

        soonest = Select([by_index(jobs, "jobs_overdue")], [jobs.id, SQL(OVERDUE_AT)]).order_by(SQL(OVERDUE_AT))
        overdue = soonest.where(SQL(IS_LEASED) & (SQL(OVERDUE_AT) <= Param("now"))).limit(Param("settle_limit"))
        self.overdue = by_place(sql(overdue), "now", "settle_limit")

        newest = (
            checkpoints.select(checkpoints.id)
            .where((checkpoints.job_id == jobs.id) & (checkpoints.status == literal(CheckpointState.COMPLETED.value)))
            .order_by(checkpoints.epoch.desc())
            .limit(literal(1))
        )
        to_claim = jobs.select(*columns_of(tables, CLAIM_FIELDS), newest)
        to_claim = to_claim.join(tables.specs, JOIN.LEFT_OUTER, on=(tables.specs.job_id == jobs.id))
        self.to_claim = by_place(sql(to_claim.where(jobs.id == Param("id"))), "id")
        late = Select([by_index(jobs.alias("late"), "jobs_overdue")], [literal(1)])
        self.head_to_claim = self._head(newest, late.where(SQL(IS_LEASED) & (SQL(OVERDUE_AT) <= Param("now"))))

        claim = sql(
            jobs.update(
                {
                    jobs.state: literal(State.RUNNING.value),
                    jobs.trigger: literal(Trigger.CLAIM.value),
                    jobs.seq: jobs.seq + literal(1),
                    jobs.attempt: jobs.attempt + literal(1),
                    jobs.lease_token: jobs.lease_token + literal(1),
                    jobs.worker_id: Param("node_id"),
                    jobs.lease_expires_at: Param("until"),
                    jobs.claimed_at: Param("now"),
                    jobs.started_at: fn.COALESCE(jobs.started_at, Param("now")),
                    jobs.updated_at: Param("now"),
                    jobs.actor: Param("actor"),
                    jobs.reason: literal(None),
                    jobs.detail: literal(None),
                    jobs.clean: literal(0),
                    jobs.fence: literal(None),
                }
            ).where(
                (jobs.id == Param("id"))
                & (jobs.seq == Param("seq"))
                & SQL(IS_CLAIMABLE)
                & (jobs.available_at <= Param("now"))
            )
        )
        self.claim = by_place(claim, *("node_id", "until", "now", "now", "now", "actor"), *("id", "seq", "now"))

        pairs = [fn.JSON_EXTRACT(SQL("value"), SQL(f"'$[{place}]'")) for place in range(2)]
        mine = Tuple(jobs.id, jobs.lease_token).in_(Select([json_rows("leases")], pairs))
        holding = mine & among(jobs.state, LEASED) & jobs.worker_id.is_null(False)
        renewal = [getattr(jobs, name) for name in _RENEWAL]
        in_time = jobs.stop_deadline_at.is_null() | (jobs.stop_deadline_at > Param("now"))
        self.renew = sql(
            jobs.update(
                {
                    jobs.lease_expires_at: Param("until"),
                    jobs.fence: SQL("-(lease_token + :until + clean)"),
                }
            )
            .where(holding & in_time)
            .returning(*renewal)
        )
        self.look = sql(jobs.select(*renewal).where(holding))

        emptied = ("worker_id", "lease_expires_at", "rescale_to", "failure", "detail")
        completed = {
            jobs.state: literal(State.COMPLETED.value),
            jobs.trigger: literal(Trigger.COMPLETE.value),
            jobs.seq: jobs.seq + literal(1),
            **{getattr(jobs, name): literal(None) for name in emptied},
            jobs.finished_at: Param("now"),
            jobs.updated_at: Param("now"),
            jobs.actor: Param("actor"),
            jobs.fence: SQL(PRESENTED),
        }
        completable = held(tables) & among(jobs.state, sources(Trigger.COMPLETE) & LEASED)
        # Most completions have no reason, and the driver takes longer to bind a None than any other value.
        complete = sql(jobs.update({**completed, jobs.reason: literal(None)}).where(completable))
        self.complete = by_place(complete, "now", "now", "actor", "id", "token")
        for_a_reason = sql(jobs.update({**completed, jobs.reason: Param("reason")}).where(completable))
        self.complete_for_a_reason = by_place(for_a_reason, "now", "now", "actor", "reason", "id", "token")

    def _due(self, node: Any) -> str:
        """The due jobs of one priority, kind and node (`''`, or the worker's own), in claim order.

        One range of the claim's index, in the order of that index: jobs which are delayed, pinned elsewhere or of
        another kind are not even walked over. Each column of the range is compared for equality, so that no
        statistics can talk SQLite into another plan.
        """
        jobs = self._tables.jobs
        place = (jobs.priority == Param("priority")) & (jobs.kind == Param("kind")) & (jobs.node_id == node)
        found = Select([by_index(jobs, "jobs_claimable")], [jobs.available_at, jobs.id])
        found = found.where(SQL(IS_CLAIMABLE) & place & (jobs.available_at <= Param("now")))
        return sql(found.order_by(jobs.available_at, jobs.id).limit(Param("limit")))

    def _head(self, newest: Any, overdue: Any) -> str:
        """The head of the queue, whether a claim of one job takes it, and whether any job is overdue.

        A claim takes it when it is due, never ran, is pinned to no node, is of the kind wanted (NULL: of any), has no
        checkpoint, and nothing else of its priority comes into question. Unless it fits, its specification, which may
        be large, is not read.
        """
        tables, kind, now = self._tables, Param("kind"), Param("now")
        jobs, specs, other = tables.jobs, tables.specs, tables.jobs.alias("other")
        fits = (jobs.available_at <= now) & (jobs.attempt == literal(0)) & (jobs.node_id == literal(""))
        fits &= jobs.kind == fn.COALESCE(kind, jobs.kind)
        source = (
            by_index(jobs, "jobs_claimable"),
            SQL("LEFT JOIN"),
            specs,
            SQL("ON"),
            fits & (specs.job_id == jobs.id),
        )
        beside = Select([by_index(other, "jobs_claimable")], [literal(1)]).where(SQL(IS_CLAIMABLE))
        same = (other.priority == jobs.priority) & (other.kind == jobs.kind)
        pinned = beside.where(same & (other.node_id == Param("node_id")) & (other.available_at <= now))
        of_another_kind = beside.where((other.priority == jobs.priority) & (other.kind > jobs.kind))
        alone = ~fn.EXISTS(pinned) & (SQL(":kind IS NOT NULL") | ~fn.EXISTS(of_another_kind))
        # With CASE, what follows a condition that does not hold is not looked up.
        is_it = Case(None, [(specs.job_id.is_null(False) & ~fn.EXISTS(newest) & alone, literal(1))], literal(0))
        head = Select([NodeList(source)], [*columns_of(tables, CLAIM_FIELDS), is_it, fn.EXISTS(overdue)])
        head = head.where(SQL(IS_CLAIMABLE) & (jobs.priority >= literal(-(2**63))))
        order = (jobs.priority, jobs.kind, jobs.node_id, jobs.available_at, jobs.id)
        return by_place(sql(head.order_by(*order).limit(literal(1))), "node_id", "now", "kind", "now", "now", "kind")

    def _places(self) -> str:
        """The priorities and kinds at which something is due for a worker, from the lowest priority on.

        Steps through the claim's index from one pair to the next, however many jobs each has. Written as text: the
        recursion, and scalar subqueries, which unlike joins SQLite cannot turn into a scan of the whole queue.
        """
        next_kind = f"(SELECT min(kind) FROM {self._queue('priority = place.priority AND kind > place.kind')})"
        next_priority = f"(SELECT min(priority) FROM {self._queue('priority > place.priority')})"
        due = " OR ".join(
            f"(SELECT 1 FROM {self._queue('priority = place.priority AND kind = place.kind')} "
            f"AND node_id = {node} AND available_at <= :now LIMIT 1) IS NOT NULL"
            for node in ("''", ":node_id")
        )
        # A priority is entered at the kind '', before all others; from there it goes to its kinds and to the next one.
        return (
            f"WITH RECURSIVE place (priority, kind) AS (SELECT min(priority), '' FROM {self._queue('true')} UNION ALL "
            f"SELECT priority, {next_kind} FROM place WHERE priority IS NOT NULL AND kind IS NOT NULL UNION ALL "
            f"SELECT {next_priority}, '' FROM place WHERE priority IS NOT NULL AND kind = '') "
            f"SELECT priority, kind FROM place WHERE (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds))) "
            f"AND ({due}) ORDER BY priority"
        )

    def _queue(self, condition: str) -> str:
        """The claimable jobs by their index, as SQL from the table on."""
        jobs = f"{self._tables.prefix}jobs"
        return f"{jobs} INDEXED BY {jobs}_claimable WHERE {IS_CLAIMABLE} AND {condition}"


class WorkerStatements:
    """The SQL of `jobstate.storage.leases`."""

    def __init__(self, tables: Tables) -> None:
        workers = tables.workers
        self.register = sql(
            workers.insert({getattr(workers, name): Param(name) for name in WORKER_COLUMNS}).on_conflict(
                conflict_target=[workers.node_id],
                update={getattr(workers, name): Param(name) for name in WORKER_COLUMNS[1:]},
            )
        )
        self.leave = sql(
            workers.delete().where((workers.node_id == Param("node_id")) & (workers.started_at == Param("started_at")))
        )
        self.listed = sql(
            workers.select(*(getattr(workers, name) for name in WORKER_COLUMNS)).order_by(workers.node_id)
        )
