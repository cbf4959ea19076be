"""What a transaction did, read from the history that it wrote."""

from __future__ import annotations

from peewee import JOIN, fn

from jobstate.storage.compiled import Param, by_place, literal, sql
from jobstate.storage.queries.terms import hot_columns, spec_columns
from jobstate.storage.tables import Tables


class ObservingQueries:
    """The SQL of `jobstate.storage.observed`."""

    def __init__(self, tables: Tables) -> None:
        jobs, specs, events = tables.jobs, tables.specs, tables.events
        self.newest = sql(events.select(fn.COALESCE(fn.MAX(events.id), literal(0))))
        entry = [getattr(events, name) for name in events._meta.sorted_field_names]
        self.width = len(entry)
        """How many columns of the rows are those of the entry; the others are those of its job."""
        written = events.select(*entry, *hot_columns(tables), *spec_columns(tables))
        written = written.join(jobs, on=(jobs.id == events.job_id))
        written = written.join(specs, JOIN.LEFT_OUTER, on=(specs.job_id == jobs.id))
        self.written = by_place(sql(written.where(events.id > Param("after")).order_by(events.id)), "after")
        standing = events.select(*entry).where((events.id > Param("after")) & (events.id <= Param("through")))
        self.standing = by_place(sql(standing.order_by(events.id)), "after", "through")
