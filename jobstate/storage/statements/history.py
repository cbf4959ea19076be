"""History and audit."""

from __future__ import annotations

from peewee import JOIN, fn

from jobstate.domain.lifecycle import TERMINAL
from jobstate.storage.mapping import EVENT_COLUMNS
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, by_place, literal, sql
from jobstate.storage.statements.fragments import hot_columns, spec_columns, whole_jobs


class HistoryStatements:
    """The SQL of `jobstate.storage.history`."""

    def __init__(self, tables: Tables) -> None:
        jobs, specs, events = tables.jobs, tables.specs, tables.events
        whole = events.select(*(getattr(events, name) for name in EVENT_COLUMNS))
        of_job = events.job_id == Param("id")
        later = events.id > Param("after")
        self.of_job = sql(whole.where(of_job).order_by(events.seq))
        self.after = sql(whole.where(later).order_by(events.id).limit(Param("limit")))
        self.of_job_after = sql(whole.where(of_job & later).order_by(events.seq).limit(Param("limit")))
        self.newest = sql(events.select(fn.COALESCE(fn.MAX(events.id), literal(0))))

        self.count_jobs = sql(jobs.select(fn.COUNT(literal(1))))
        self.audited_jobs = sql(
            whole_jobs(tables).where(jobs.id > Param("after")).order_by(jobs.id).limit(Param("limit"))
        )
        self.audited_events = sql(
            whole.where(events.job_id.between(Param("first"), Param("last"))).order_by(events.job_id, events.seq)
        )
        every_job = jobs.select(jobs.id)
        self.orphans = {
            child._meta.table_name: sql(child.select(fn.COUNT(literal(1))).where(child.job_id.not_in(every_job)))
            for child in (
                specs,
                events,
                tables.progress,
                tables.checkpoints,
                tables.metrics,
                tables.logs,
                tables.output,
            )
        }
        self.records = _records(tables)
        self.without_spec = sql(
            every_job.where(jobs.id.not_in(specs.select(specs.job_id))).order_by(jobs.id).limit(literal(100))
        )


def _records(tables: Tables) -> tuple[str, ...]:
    """What counters and records beside the jobs must fulfil; each statement yields a job or NULL, and a problem."""
    names = {
        what: getattr(tables, what)._meta.table_name
        for what in ("jobs", "specs", "events", "checkpoints", "pipelines", "workers", "deletions")
    }
    counted = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{}'), 0)"
    counters = (
        f"SELECT NULL, 'the counter of {table} is ' || {counted.format(table)} || ', below the number ' || max(id) "
        f"FROM {table} HAVING max(id) > {counted.format(table)}"
        for table in (names["jobs"], names["events"], names["checkpoints"])
    )
    words = ", ".join(f"'{state}'" for state in sorted(TERMINAL))
    return (
        *counters,
        f"SELECT id, 'it is there, and recorded as deleted' FROM {names['deletions']} "
        f"WHERE id IN (SELECT id FROM {names['jobs']})",
        f"SELECT id, 'it is recorded as deleted, and no job had that id' FROM {names['deletions']} "
        f"WHERE id < 1 OR id > {counted.format(names['jobs'])}",
        f"SELECT id, 'it is recorded as deleted in the state ' || quote(state) FROM {names['deletions']} "
        f"WHERE state NOT IN ({words})",
        f"SELECT NULL, 'pipeline ' || quote(pipeline_id) || ' has counted ' || last_run_id || ' runs, and the store '"
        f" || {counted.format(names['jobs'])} || ' jobs' FROM {names['pipelines']} "
        f"WHERE last_run_id NOT BETWEEN 1 AND {counted.format(names['jobs'])}",
        f"SELECT max(job_id), 'run ' || run_id || ' of pipeline ' || quote(pipeline_id) || ' is there ' || count(*) "
        f"|| ' times' FROM {names['specs']} WHERE pipeline_id IS NOT NULL GROUP BY pipeline_id, run_id "
        "HAVING count(*) > 1",
        f"SELECT NULL, 'the kinds of worker ' || quote(node_id) || ' are no list' FROM {names['workers']} "
        "WHERE kinds IS NOT NULL AND (NOT json_valid(kinds) OR json_type(kinds) <> 'array')",
    )


class ObservingStatements:
    """The SQL of `jobstate.storage.observed`."""

    def __init__(self, tables: Tables) -> None:
        jobs, specs, events = tables.jobs, tables.specs, tables.events
        self.newest = sql(events.select(fn.COALESCE(fn.MAX(events.id), literal(0))))
        entry = [getattr(events, name) for name in EVENT_COLUMNS]
        self.width = len(entry)
        """How many columns of the rows are those of the entry; the others are those of its job."""
        written = events.select(*entry, *hot_columns(tables), *spec_columns(tables))
        written = written.join(jobs, on=(jobs.id == events.job_id))
        written = written.join(specs, JOIN.LEFT_OUTER, on=(specs.job_id == jobs.id))
        self.written = by_place(sql(written.where(events.id > Param("after")).order_by(events.id)), "after")
        kept = events.select(*entry).where((events.id > Param("after")) & (events.id <= Param("through")))
        self.kept = by_place(sql(kept.order_by(events.id)), "after", "through")
