"""Pages of jobs and what a prune removes: each looks only into the index that holds the states asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from peewee import SQL, NodeList, Select, fn

from jobstate.domain.lifecycle import LIVE, TERMINAL, State
from jobstate.storage.compiled import Param, among, literal, sql
from jobstate.storage.queries.terms import by_index, rows_of, union_all, whole_jobs
from jobstate.storage.tables import IS_ENDED, IS_LIVE, Tables


@dataclass(frozen=True, slots=True)
class Asked:
    """Which filters a page has; their values are bound at each run."""

    states: frozenset[State]
    before: bool
    kind: bool
    node: bool
    pipeline: bool
    labels: int

    @property
    def reads_spec(self) -> bool:
        """Whether a filter looks at what was submitted."""
        return self.pipeline or self.labels > 0


class ListQueries:
    """The SQL of lists, made as it is asked for."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.page = cache(self._page)
        self.ended = cache(self._ended)

    def _page(self, asked: Asked) -> str:
        """A page of whole jobs, newest first."""
        jobs, specs = self._tables.jobs, self._tables.specs
        whole = whole_jobs(self._tables)
        if asked.states == frozenset(State):
            return sql(_filtered(whole, asked, jobs, specs).order_by(jobs.id.desc()).limit(Param("limit")))
        lanes = []
        for number, (index, condition, states) in enumerate(_state_lanes(asked.states)):
            job, spec = jobs.alias("job"), specs.alias("spec")
            sources = [by_index(job, index), *([spec] if asked.reads_spec else [])]
            lane = Select(sources, [job.id]).where(SQL(condition) & among(job.state, states))
            if asked.reads_spec:
                lane = lane.where(spec.job_id == job.id)
            lane = _filtered(lane, asked, job, spec).order_by(job.id.desc()).limit(Param("limit"))
            lanes.append(rows_of(lane, f"lane{number}"))
        newest = union_all(lanes).order_by(SQL("1 DESC")).limit(Param("limit"))
        return sql(whole.where(jobs.id.in_(newest)).order_by(jobs.id.desc()))

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


def _filtered(query: Any, asked: Asked, job: Any, spec: Any) -> Any:
    if asked.before:
        query = query.where(job.id < Param("before"))
    if asked.kind:
        query = query.where(job.kind == Param("kind"))
    if asked.node:
        query = query.where((job.worker_id == Param("node_id")) | (job.node_id == Param("node_id")))
    if asked.pipeline:
        query = query.where(spec.pipeline_id == Param("pipeline_id"))
    for number in range(asked.labels):
        label = NodeList((SQL("json_each("), spec.labels, SQL(") AS label")))
        named = (SQL("label.key") == Param(f"label{number}")) & (SQL("label.value") == Param(f"value{number}"))
        query = query.where(fn.EXISTS(Select([label], [literal(1)]).where(named)))
    return query


def _state_lanes(states: frozenset[State]) -> Iterator[tuple[str, str, frozenset[State]]]:
    """Index, its condition and the states to look for: each lane yields ids in order, among any number of others."""
    if states & LIVE:
        yield "jobs_live", IS_LIVE, states & LIVE
    for state in sorted(states & TERMINAL):
        yield "jobs_ended", IS_ENDED, frozenset({state})
