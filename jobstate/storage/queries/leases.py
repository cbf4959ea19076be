"""Claims, heartbeats, completions and what is overdue: the hot statements."""

from __future__ import annotations

from typing import Any, Final

from peewee import SQL, Select, Tuple, fn

from jobstate.domain.checkpoints import CheckpointState
from jobstate.domain.lifecycle import LEASED, State, Trigger, sources
from jobstate.storage.compiled import Param, among, literal, sql
from jobstate.storage.queries.terms import (
    by_index,
    held,
    json_rows,
    whole_jobs,
)
from jobstate.storage.tables import IS_CLAIMABLE, IS_LEASED, OVERDUE_AT, Tables

_RENEWAL: Final = ("id", "lease_token", "state", "stop_mode", "stop_deadline_at", "stop_reason", "rescale_to")


class LeaseQueries:
    """The SQL of `jobstate.storage.leases`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.head = (
            f"SELECT priority, kind FROM {self._queue(f'priority >= {-(2**63)}')} ORDER BY priority, kind LIMIT 1"
        )
        self.places = self._places()
        self.due = tuple(self._due(node) for node in (literal(""), Param("node_id")))
        jobs, checkpoints = tables.jobs, tables.checkpoints

        soonest = Select([by_index(jobs, "jobs_overdue")], [jobs.id, SQL(OVERDUE_AT)]).order_by(SQL(OVERDUE_AT))
        self.overdue = sql(
            soonest.where(SQL(IS_LEASED) & (SQL(OVERDUE_AT) <= Param("now"))).limit(Param("settle_limit"))
        )

        newest = (
            checkpoints.select(checkpoints.id)
            .where((checkpoints.job_id == jobs.id) & (checkpoints.status == literal(CheckpointState.COMPLETED.value)))
            .order_by(checkpoints.epoch.desc())
            .limit(literal(1))
        )
        self.job_and_checkpoint = sql(whole_jobs(tables, newest).where(jobs.id == Param("id")))

        self.claim = sql(
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
                }
            ).where((jobs.id == Param("id")) & SQL(IS_CLAIMABLE))
        )

        pairs = [fn.JSON_EXTRACT(SQL("value"), SQL(f"'$[{place}]'")) for place in range(2)]
        mine = Tuple(jobs.id, jobs.lease_token).in_(Select([json_rows("leases")], pairs))
        holding = mine & among(jobs.state, LEASED) & jobs.worker_id.is_null(False)
        renewal = [getattr(jobs, name) for name in _RENEWAL]
        in_time = jobs.stop_deadline_at.is_null() | (jobs.stop_deadline_at > Param("now"))
        self.renew = sql(
            jobs.update({jobs.lease_expires_at: Param("until")}).where(holding & in_time).returning(*renewal)
        )
        self.look = sql(jobs.select(*renewal).where(holding))

        emptied = ("worker_id", "lease_expires_at", "rescale_to", "failure", "detail")
        self.complete = sql(
            jobs.update(
                {
                    jobs.state: literal(State.COMPLETED.value),
                    jobs.trigger: literal(Trigger.COMPLETE.value),
                    jobs.seq: jobs.seq + literal(1),
                    **{getattr(jobs, name): literal(None) for name in emptied},
                    jobs.finished_at: Param("now"),
                    jobs.updated_at: Param("now"),
                    jobs.actor: Param("actor"),
                    jobs.reason: Param("reason"),
                }
            ).where(held(tables) & among(jobs.state, sources(Trigger.COMPLETE) & LEASED))
        )

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
