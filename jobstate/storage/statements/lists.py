"""Pages of jobs and of jobs to prune, each read by the index that holds the states asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from peewee import SQL, Alias, Asc, Case, Desc, NodeList, Select, fn

from jobstate.domain.lifecycle import LIVE, TERMINAL, State
from jobstate.ports.queries import Order, SortKey
from jobstate.storage.schema.constraints import IS_ENDED, IS_LIVE
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, among, literal, sql
from jobstate.storage.statements.fragments import by_index, rows_of, union_all, whole_jobs


@dataclass(frozen=True, slots=True)
class ListShape:
    """Which filters a page has; their values are bound at each run."""

    states: frozenset[State]
    before: bool
    kind: bool
    node: bool
    pipeline: bool
    labels: int

    @property
    def reads_spec(self) -> bool:
        """Whether a filter reads the specification."""
        return self.pipeline or self.labels > 0


class ListStatements:
    """The SQL of lists, compiled at first use of each shape."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.page = cache(self._page)
        self.ordered = cache(self._ordered)
        self.ended = cache(self._ended)

    def _page(self, shape: ListShape) -> str:
        """A page of whole jobs, newest first."""
        jobs, specs = self._tables.jobs, self._tables.specs
        whole = whole_jobs(self._tables)
        if shape.states == frozenset(State):
            return sql(_filtered(whole, shape, jobs, specs).order_by(jobs.id.desc()).limit(Param("limit")))
        lanes = []
        for number, (index, condition, states) in enumerate(_state_lanes(shape.states)):
            job, spec = jobs.alias("job"), specs.alias("spec")
            sources = [by_index(job, index), *([spec] if shape.reads_spec else [])]
            lane = Select(sources, [job.id]).where(SQL(condition) & among(job.state, states))
            if shape.reads_spec:
                lane = lane.where(spec.job_id == job.id)
            lane = _filtered(lane, shape, job, spec).order_by(job.id.desc()).limit(Param("limit"))
            lanes.append(rows_of(lane, f"lane{number}"))
        newest = union_all(lanes).order_by(SQL("1 DESC")).limit(Param("limit"))
        return sql(whole.where(jobs.id.in_(newest)).order_by(jobs.id.desc()))

    def _ordered(self, shape: ListShape, order: Order) -> str:
        """Whole jobs, sorted, from some place on.

        What is sorted are keys and ids; descriptors are read for the rows of the answer alone.
        """
        jobs = self._tables.jobs
        lanes = [
            rows_of(lane.limit(Param("through")), f"lane{number}")
            for number, lane in enumerate(self._pools(shape, order))
        ]
        merged = union_all(lanes).order_by(*_terms(order, SQL("id"), SQL("sort_key")))
        chosen = merged.limit(Param("limit")).offset(Param("offset")).alias("chosen")
        whole = whole_jobs(self._tables).where(jobs.id.in_(Select([chosen], [SQL("chosen.id")])))
        return sql(whole.order_by(*_terms(order, jobs.id, self._key(order, jobs))))

    def _pools(self, shape: ListShape, order: Order) -> Iterator[Any]:
        """Ids with their keys, in order; of each lane at most as many as the last place asked for."""
        everything = shape.states == frozenset(State)
        for index, condition, states in [("", "", State)] if everything else _state_lanes(shape.states):
            job, spec = self._tables.jobs.alias("job"), self._tables.specs.alias("spec")
            sources = [by_index(job, index) if index else job, *([spec] if shape.reads_spec else [])]
            key = self._key(order, job)
            lane = Select(sources, [job.id, Alias(key, "sort_key")])
            if index:
                lane = lane.where(SQL(condition) & among(job.state, states))
            if shape.reads_spec:
                lane = lane.where(spec.job_id == job.id)
            yield _filtered(lane, shape, job, spec).order_by(*_terms(order, job.id, key))

    def _key(self, order: Order, job: Any) -> Any:
        """The sort key of a job."""
        if order.by is SortKey.STATE:
            places = zip(State, order.ranks, strict=True)
            return Case(job.state, [(literal(state.value), literal(place)) for state, place in places])
        if order.by is SortKey.RUN_ID:
            numbered = self._tables.specs.alias("numbered")
            return numbered.select(numbered.run_id).where(numbered.job_id == job.id)
        return getattr(job, order.by.value)

    def _ended(self, state: State, *, older: bool, count: bool) -> str:
        """The oldest jobs that a prune of one state removes, or how many there are in all."""
        jobs = self._tables.jobs
        chosen = SQL(IS_ENDED) & (jobs.state == literal(state.value))
        if older:
            chosen &= jobs.finished_at <= Param("before")
        source = by_index(jobs, "jobs_ended")
        if count:
            return sql(Select([source], [fn.COUNT(literal(1))]).where(chosen))
        return sql(Select([source], [jobs.id]).where(chosen).order_by(jobs.id).limit(Param("limit")))


def _terms(order: Order, number: Any, key: Any) -> list[Any]:
    """What to sort by: the key, where there is none last in either direction, then the id in the same direction."""
    direction = Desc if order.falling else Asc
    by_key = [] if order.by is SortKey.ID else [direction(key, nulls="LAST")]
    return [*by_key, direction(number)]


def _filtered(query: Any, shape: ListShape, job: Any, spec: Any) -> Any:
    if shape.before:
        query = query.where(job.id < Param("before"))
    if shape.kind:
        query = query.where(job.kind == Param("kind"))
    if shape.node:
        query = query.where((job.worker_id == Param("node_id")) | (job.node_id == Param("node_id")))
    if shape.pipeline:
        query = query.where(spec.pipeline_id == Param("pipeline_id"))
    for number in range(shape.labels):
        label = NodeList((SQL("json_each("), spec.labels, SQL(") AS label")))
        named = (SQL("label.key") == Param(f"label{number}")) & (SQL("label.value") == Param(f"value{number}"))
        query = query.where(fn.EXISTS(Select([label], [literal(1)]).where(named)))
    return query


def _state_lanes(states: frozenset[State]) -> Iterator[tuple[str, str, frozenset[State]]]:
    """Index, its condition and the states to read by it: each lane yields ids in order, among any number of others."""
    if states & LIVE:
        yield "jobs_live", IS_LIVE, states & LIVE
    for state in sorted(states & TERMINAL):
        yield "jobs_ended", IS_ENDED, frozenset({state})
