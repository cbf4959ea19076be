"""Every statement of the store, expressed in peewee and compiled once for the tables of one prefix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from peewee import SQL, NodeList, Select, Tuple, fn

from jobstate.domain.checkpoints import CheckpointState
from jobstate.domain.job import SUBMIT
from jobstate.domain.lifecycle import LEASED, LIVE, TERMINAL, State, Trigger, sources
from jobstate.storage.compiled import Param, among, literal, sql
from jobstate.storage.tables import (
    HOT_FIELDS,
    IS_CLAIMABLE,
    IS_ENDED,
    IS_LEASED,
    IS_LIVE,
    MUTABLE_FIELDS,
    OVERDUE_AT,
    SPEC_FIELDS,
    Tables,
    column_of,
    define,
)

MAX_LANES: Final = 200
"""Lanes in one statement; SQLite takes at most 500 terms in a compound SELECT."""

_RENEWAL: Final = ("id", "lease_token", "state", "stop_mode", "stop_deadline_at", "stop_reason", "rescale_to")


@cache
def statements(prefix: str) -> Statements:
    """The statements over the tables with this prefix."""
    return Statements(define(prefix))


class Statements:
    """SQL by name. Each is compiled when it is first asked for."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        jobs, specs = tables.jobs, tables.specs
        self._hot = [getattr(jobs, column_of(field)) for field in HOT_FIELDS]
        self._spec = [getattr(specs, column_of(field)) for field in SPEC_FIELDS]
        self._lanes: dict[int, tuple[str, str]] = {}
        self._build(tables)

    def _build(self, t: Tables) -> None:
        jobs, specs = t.jobs, t.specs
        leased = (jobs.id == Param("id")) & (jobs.lease_token == Param("token")) & jobs.worker_id.is_null(False)
        whole = jobs.select(*self._hot, *self._spec).join(specs, on=(specs.job_id == jobs.id))

        # Jobs
        self.insert_job = sql(
            jobs.insert(
                {
                    **{getattr(jobs, name): Param(name) for name in ("state", "kind", "node_id", "priority", "key")},
                    **{getattr(jobs, name): Param(name) for name in ("available_at", "parallelism", "actor", "reason")},
                    **{getattr(jobs, name): literal(0) for name in ("attempt", "failures", "lease_token", "clean")},
                    jobs.created_at: Param("now"),
                    jobs.updated_at: Param("now"),
                    jobs.seq: literal(1),
                    jobs.trigger: literal(SUBMIT),
                }
            )
        )
        self.insert_spec = sql(
            specs.insert({getattr(specs, column_of(f)): Param(f) for f in SPEC_FIELDS} | {specs.job_id: Param("id")})
        )
        self.next_run = sql(
            t.pipelines.insert({t.pipelines.pipeline_id: Param("pipeline_id"), t.pipelines.last_run_id: literal(1)})
            .on_conflict(
                conflict_target=[t.pipelines.pipeline_id],
                update={t.pipelines.last_run_id: t.pipelines.last_run_id + literal(1)},
            )
            .returning(t.pipelines.last_run_id)
        )
        self.find = sql(whole.where(jobs.id == Param("id")))
        self.find_key = sql(whole.where((jobs.key == Param("key")) & SQL(IS_LIVE)))
        self.write_version = sql(
            jobs.update({getattr(jobs, column_of(f)): Param(column_of(f)) for f in MUTABLE_FIELDS}).where(
                (jobs.id == Param("id")) & (jobs.seq == Param("seq") - literal(1))
            )
        )
        state_counts = [jobs.state, fn.COUNT(literal(1))]
        self.count_live = sql(Select([_by(jobs, "jobs_live")], state_counts).where(SQL(IS_LIVE)).group_by(jobs.state))
        self.count_ended = sql(
            Select([_by(jobs, "jobs_ended")], state_counts).where(SQL(IS_ENDED)).group_by(jobs.state)
        )

        # Leases
        self.kinds = sql(t.kinds.select(t.kinds.kind).order_by(t.kinds.kind))
        overdue = (
            Select([_by(jobs, "jobs_overdue")], [jobs.id])
            .where(SQL(IS_LEASED) & (SQL(OVERDUE_AT) <= Param("now")))
            .order_by(SQL(OVERDUE_AT))
            .limit(Param("settle_limit"))
        )
        self.overdue = sql(overdue)
        self.next_due = sql(
            Select([_by(jobs, "jobs_overdue")], [SQL(OVERDUE_AT)])
            .where(SQL(IS_LEASED))
            .order_by(SQL(OVERDUE_AT))
            .limit(literal(1))
        )
        self.spec_and_checkpoint = sql(
            specs.select(*self._spec, self._newest_checkpoint(t, specs.job_id)).where(specs.job_id == Param("id"))
        )
        is_mine = Tuple(jobs.id, jobs.lease_token).in_(_lease_list())
        renewal = [getattr(jobs, name) for name in _RENEWAL]
        holds = among(jobs.state, LEASED) & jobs.worker_id.is_null(False)
        self.renew = sql(
            jobs.update({jobs.lease_expires_at: Param("until")})
            .where(is_mine & holds & (jobs.stop_deadline_at.is_null() | (jobs.stop_deadline_at > Param("now"))))
            .returning(*renewal)
        )
        self.look = sql(jobs.select(*renewal).where(is_mine & holds))
        self.complete = sql(
            jobs.update(
                {
                    jobs.state: literal(State.COMPLETED.value),
                    jobs.trigger: literal(Trigger.COMPLETE.value),
                    jobs.seq: jobs.seq + literal(1),
                    **{getattr(jobs, n): literal(None) for n in ("worker_id", "lease_expires_at", "rescale_to")},
                    **{getattr(jobs, name): literal(None) for name in ("failure", "detail")},
                    jobs.finished_at: Param("now"),
                    jobs.updated_at: Param("now"),
                    jobs.actor: Param("actor"),
                    jobs.reason: Param("reason"),
                }
            ).where(leased & among(jobs.state, sources(Trigger.COMPLETE) & LEASED))
        )

        # Reports
        self.mark_written = sql(
            jobs.update({jobs.clean: literal(0)}).where((jobs.id == Param("id")) & (jobs.clean == literal(1)))
        )
        self.mark_clean = sql(
            jobs.update({jobs.clean: literal(1)}).where((jobs.id == Param("id")) & (jobs.clean == literal(0)))
        )
        self.is_held = sql(jobs.select(literal(1)).where(leased & among(jobs.state, LEASED)))
        p = t.progress
        numbers = ("files_count", "total_size_bytes", "start_block", "current_block", "ranges")
        self.write_progress = sql(
            p.insert({getattr(p, name): Param(name) for name in ("job_id", "table_name", *numbers)}).on_conflict(
                conflict_target=[p.job_id, p.table_name],
                update={getattr(p, name): Param(name) for name in numbers},
            )
        )
        self.drop_progress = sql(p.delete().where(p.job_id == Param("id")))
        self.progress = sql(
            p.select(p.table_name, p.files_count, p.total_size_bytes, p.ranges)
            .where(p.job_id == Param("id"))
            .order_by(p.table_name)
        )
        c = t.checkpoints
        whole_checkpoint = [
            getattr(c, name)
            for name in (
                *("id", "job_id", "epoch", "status", "token", "start_at", "finish_at", "size_bytes", "state"),
                "snapshot",
            )
        ]
        self.insert_checkpoint = sql(
            c.insert(
                {
                    **{getattr(c, name): Param(name) for name in ("job_id", "root_id", "token", "state", "snapshot")},
                    c.epoch: Select([c], [fn.COALESCE(fn.MAX(c.epoch), literal(0)) + literal(1)]).where(
                        c.root_id == Param("root_id")
                    ),
                    c.status: literal(CheckpointState.COMPLETED.value),
                    c.start_at: Param("now"),
                    c.finish_at: Param("now"),
                    c.size_bytes: Param("size_bytes"),
                }
            ).returning(*whole_checkpoint)
        )
        self.root_of = sql(specs.select(specs.root_id).where(specs.job_id == Param("id")))
        kept = (
            c.select(c.id)
            .where((c.job_id == Param("id")) & (c.status == literal(CheckpointState.COMPLETED.value)))
            .order_by(c.epoch.desc())
            .limit(literal(-1))
            .offset(Param("keep"))
        )
        self.drop_old_checkpoints = sql(c.delete().where(c.id.in_(kept)))
        self.checkpoints = sql(
            c.select(*whole_checkpoint).where(c.job_id == Param("id")).order_by(c.epoch.desc()).limit(Param("limit"))
        )
        self.checkpoint = sql(c.select(*whole_checkpoint).where(c.id == Param("id")))

        # History
        e = t.events
        whole_event = [getattr(e, name) for name in e._meta.sorted_field_names]
        self.events = sql(e.select(*whole_event).where(e.job_id == Param("id")).order_by(e.seq))
        self.events_after = sql(
            e.select(*whole_event).where(e.id > Param("after")).order_by(e.id).limit(Param("limit"))
        )
        self.job_events_after = sql(
            e.select(*whole_event)
            .where((e.job_id == Param("id")) & (e.id > Param("after")))
            .order_by(e.seq)
            .limit(Param("limit"))
        )
        self.newest_event = sql(e.select(fn.COALESCE(fn.MAX(e.id), literal(0))))
        self.audit_jobs = sql(whole.where(jobs.id > Param("after")).order_by(jobs.id).limit(Param("limit")))
        self.audit_events = sql(
            e.select(*whole_event)
            .where((e.job_id >= Param("first")) & (e.job_id <= Param("last")))
            .order_by(e.job_id, e.seq)
        )
        self.count_jobs = sql(jobs.select(fn.COUNT(literal(1))))
        self.count_events = sql(e.select(fn.COUNT(literal(1))))
        self.orphans = {
            child._meta.table_name: sql(
                child.select(fn.COUNT(literal(1))).where(child.job_id.not_in(jobs.select(jobs.id)))
            )
            for child in (specs, e, p, c)
        }
        self.jobs_without_spec = sql(
            jobs.select(jobs.id).where(jobs.id.not_in(specs.select(specs.job_id))).limit(literal(100))
        )

        # Removal
        d = t.deletions
        listed = Select([NodeList((SQL("json_each("), Param("ids"), SQL(")")))], [SQL("value")])
        gone = jobs.select(jobs.id, jobs.kind, jobs.state, Param("now"), Param("actor"), Param("reason"))
        self.record_deletions = sql(
            d.insert_from(
                gone.where(jobs.id.in_(listed) & SQL(IS_ENDED)), [d.id, d.kind, d.state, d.at, d.actor, d.reason]
            )
        )
        self.delete_jobs = sql(jobs.delete().where(jobs.id.in_(listed)))
        self.forget_deletions = sql(d.delete().where(d.at < Param("before")))

        # Workers
        w = t.workers
        columns = ("node_id", "started_at", "heartbeat_at", "host", "pid", "kinds", "concurrency")
        self.register_worker = sql(
            w.insert({getattr(w, name): Param(name) for name in columns}).on_conflict(
                conflict_target=[w.node_id], update={getattr(w, name): Param(name) for name in columns[1:]}
            )
        )
        self.drop_worker = sql(
            w.delete().where((w.node_id == Param("node_id")) & (w.started_at == Param("started_at")))
        )
        self.workers = sql(w.select(*(getattr(w, name) for name in columns)).order_by(w.node_id))

    def claim(self, lanes: int) -> tuple[str, str]:
        """The look for due jobs, and the claim of them, for a worker that looks into so many kinds.

        One lane per kind and node (`''` and the worker's own): each is a range of the claim's index, so that jobs
        which are delayed, pinned elsewhere or of another kind are not even walked over.
        """
        if lanes not in self._lanes:
            self._lanes[lanes] = self._claim(lanes)
        return self._lanes[lanes]

    def _claim(self, lanes: int) -> tuple[str, str]:
        jobs = self.tables.jobs
        order = ("priority", "available_at", "id")
        parts = []
        for lane in range(lanes):
            for node in (literal(""), Param("node_id")):
                row = jobs.alias("job")
                found = (
                    Select([_by(row, "jobs_claimable")], [getattr(row, name) for name in order])
                    .where(
                        SQL(IS_CLAIMABLE)
                        & (row.kind == Param(f"kind{lane}"))
                        & (row.node_id == node)
                        & (row.available_at <= Param("now"))
                    )
                    .order_by(*(getattr(row, name) for name in order))
                    .limit(Param("limit"))
                    .alias(f"lane{len(parts)}")
                )
                parts.append(Select([found], [getattr(found.c, name) for name in order]))
        union = parts[0]
        for part in parts[1:]:
            union = union.union_all(part)
        due = union.order_by(*(SQL(str(number + 1)) for number in range(len(order)))).limit(Param("limit"))
        due = due.alias("due")
        look = sql(Select([due], [due.c.id]).limit(literal(1)))
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
                    jobs.reason: Param("reason"),
                    jobs.detail: literal(None),
                    jobs.clean: literal(0),
                }
            )
            .where(jobs.id.in_(Select([due], [due.c.id])))
            .returning(*self._hot)
        )
        return look, claim

    def page(
        self, states: frozenset[State], *, kind: bool, node: bool, pipeline: bool, before: bool, labels: int
    ) -> str:
        """A page of jobs, newest first, with the filters that are asked for."""
        return _page(self, states, kind=kind, node=node, pipeline=pipeline, before=before, labels=labels)

    def ended(self, state: State, *, older: bool, count: bool) -> str:
        """The oldest jobs that a prune of one state removes, or how many there are in all."""
        return _ended(self, state, older=older, count=count)

    def _newest_checkpoint(self, t: Tables, job_id: Any) -> Any:
        c = t.checkpoints
        return (
            c.select(c.id)
            .where((c.job_id == job_id) & (c.status == literal(CheckpointState.COMPLETED.value)))
            .order_by(c.epoch.desc())
            .limit(literal(1))
        )


@cache
def _page(
    of: Statements, states: frozenset[State], *, kind: bool, node: bool, pipeline: bool, before: bool, labels: int
) -> str:
    jobs, specs = of.tables.jobs, of.tables.specs
    whole = jobs.select(*of._hot, *of._spec).join(specs, on=(specs.job_id == jobs.id))

    def filtered(query: Any, row: Any, spec: Any) -> Any:
        if before:
            query = query.where(row.id < Param("before"))
        if kind:
            query = query.where(row.kind == Param("kind"))
        if node:
            query = query.where((row.worker_id == Param("node_id")) | (row.node_id == Param("node_id")))
        if pipeline:
            query = query.where(spec.pipeline_id == Param("pipeline_id"))
        for number in range(labels):
            label = NodeList((SQL("json_each("), spec.labels, SQL(") AS label")))
            named = (SQL("label.key") == Param(f"label{number}")) & (SQL("label.value") == Param(f"value{number}"))
            query = query.where(fn.EXISTS(Select([label], [literal(1)]).where(named)))
        return query

    if states == frozenset(State):
        return sql(filtered(whole, jobs, specs).order_by(jobs.id.desc()).limit(Param("limit")))
    lanes = []
    for index, condition, chosen in _state_lanes(states):
        row, spec = jobs.alias("job"), specs.alias("spec")
        lane = Select([_by(row, index)], [row.id]).where(SQL(condition) & among(row.state, chosen))
        if pipeline or labels:
            lane = Select([_by(row, index), spec], [row.id]).where(
                SQL(condition) & among(row.state, chosen) & (spec.job_id == row.id)
            )
        found = filtered(lane, row, spec).order_by(row.id.desc()).limit(Param("limit")).alias(f"lane{len(lanes)}")
        lanes.append(Select([found], [found.c.id]))
    union = lanes[0]
    for lane in lanes[1:]:
        union = union.union_all(lane)
    newest = union.order_by(SQL("1 DESC")).limit(Param("limit"))
    return sql(whole.where(jobs.id.in_(newest)).order_by(jobs.id.desc()))


def _state_lanes(states: frozenset[State]) -> Iterator[tuple[str, str, frozenset[State]]]:
    """Index, its condition and the states to look for: each lane yields ids in order, among any number of others."""
    if states & LIVE:
        yield "jobs_live", IS_LIVE, states & LIVE
    for state in sorted(states & TERMINAL):
        yield "jobs_ended", IS_ENDED, frozenset({state})


@cache
def _ended(of: Statements, state: State, *, older: bool, count: bool) -> str:
    jobs = of.tables.jobs
    chosen = SQL(IS_ENDED) & (jobs.state == literal(state.value))
    if older:
        chosen &= jobs.finished_at < Param("before")
    if count:
        return sql(Select([_by(jobs, "jobs_ended")], [fn.COUNT(literal(1))]).where(chosen))
    return sql(Select([_by(jobs, "jobs_ended")], [jobs.id]).where(chosen).order_by(jobs.id).limit(Param("limit")))


def _by(table: Any, index: str) -> NodeList:
    """The table, read by that index and no other; the names of both begin with the prefix."""
    model = table if isinstance(table, type) else table.model
    prefix = model._meta.table_name.removesuffix(model.table)
    return NodeList((table, SQL(f"INDEXED BY {prefix}{index}")))


def _lease_list() -> Select:
    """The rows of a JSON list of `[job_id, token]`."""
    pairs = NodeList((SQL("json_each("), Param("leases"), SQL(")")))
    parts = [fn.JSON_EXTRACT(SQL("value"), SQL(f"'$[{number}]'")) for number in range(2)]
    return Select([pairs], parts)
