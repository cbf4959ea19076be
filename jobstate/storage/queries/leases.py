"""Claims, heartbeats, completions and what is overdue: the hot statements."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from peewee import SQL, Select, Tuple, fn

from jobstate.domain.checkpoints import CheckpointState
from jobstate.domain.lifecycle import LEASED, State, Trigger, sources
from jobstate.storage.compiled import Param, among, literal, sql
from jobstate.storage.queries.terms import (
    by_index,
    held,
    hot_columns,
    json_rows,
    rows_of,
    spec_columns,
    union_all,
)
from jobstate.storage.tables import IS_CLAIMABLE, IS_LEASED, OVERDUE_AT, Tables

MAX_KINDS: Final = 200
"""Kinds in one claim: two lanes each, of the 500 terms that SQLite takes in a compound SELECT."""

_RENEWAL: Final = ("id", "lease_token", "state", "stop_mode", "stop_deadline_at", "stop_reason", "rescale_to")
_CLAIM_ORDER: Final = ("priority", "available_at", "id")


class LeaseQueries:
    """The SQL of `jobstate.storage.leases`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.due = cache(self._due)
        jobs, specs, kinds, checkpoints = tables.jobs, tables.specs, tables.kinds, tables.checkpoints
        self.kinds = sql(kinds.select(kinds.kind).order_by(kinds.kind))

        soonest = Select([by_index(jobs, "jobs_overdue")], [jobs.id, SQL(OVERDUE_AT)]).order_by(SQL(OVERDUE_AT))
        self.overdue = sql(
            soonest.where(SQL(IS_LEASED) & (SQL(OVERDUE_AT) <= Param("now"))).limit(Param("settle_limit"))
        )

        newest = (
            checkpoints.select(checkpoints.id)
            .where(
                (checkpoints.job_id == specs.job_id) & (checkpoints.status == literal(CheckpointState.COMPLETED.value))
            )
            .order_by(checkpoints.epoch.desc())
            .limit(literal(1))
        )
        self.spec_and_checkpoint = sql(specs.select(*spec_columns(tables), newest).where(specs.job_id == Param("id")))

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
            )
            .where((jobs.id == Param("id")) & SQL(IS_CLAIMABLE))
            .returning(*hot_columns(tables))
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

    def _due(self, kinds: int) -> str:
        """The next jobs for a worker that takes so many kinds, in claim order.

        One lane per kind and node (`''` and the worker's own): each is a range of the claim's index, so that jobs
        which are delayed, pinned elsewhere or of another kind are not even walked over.
        """
        jobs = self._tables.jobs
        lanes: list[Any] = []
        for kind in range(kinds):
            for node in (literal(""), Param("node_id")):
                job = jobs.alias("job")
                order = [getattr(job, name) for name in _CLAIM_ORDER]
                due = (job.kind == Param(f"kind{kind}")) & (job.node_id == node) & (job.available_at <= Param("now"))
                lane = Select([by_index(job, "jobs_claimable")], order).where(SQL(IS_CLAIMABLE) & due)
                lanes.append(rows_of(lane.order_by(*order).limit(Param("limit")), f"lane{len(lanes)}"))
        by_place = [SQL(str(place + 1)) for place in range(len(_CLAIM_ORDER))]
        return sql(union_all(lanes).order_by(*by_place).limit(Param("limit")))
