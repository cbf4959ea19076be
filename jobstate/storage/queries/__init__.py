"""Every statement of the store, expressed in peewee and compiled once for the tables of one prefix."""

from __future__ import annotations

from functools import cache, cached_property

from jobstate.storage.queries.history import HistoryQueries
from jobstate.storage.queries.jobs import JobQueries
from jobstate.storage.queries.leases import LeaseQueries
from jobstate.storage.queries.lists import ListQueries
from jobstate.storage.queries.observing import ObservingQueries
from jobstate.storage.queries.reports import ReportQueries
from jobstate.storage.queries.telemetry import TelemetryQueries
from jobstate.storage.queries.workers import WorkerQueries
from jobstate.storage.tables import define


class Queries:
    """The statements by what they are about, and the tables they are over.

    Each group is compiled when it is first needed: a command that lists jobs writes none and claims none.
    """

    def __init__(self, prefix: str) -> None:
        self.tables = define(prefix)

    @cached_property
    def jobs(self) -> JobQueries:
        """One job at a time."""
        return JobQueries(self.tables)

    @cached_property
    def lists(self) -> ListQueries:
        """Pages of jobs."""
        return ListQueries(self.tables)

    @cached_property
    def leases(self) -> LeaseQueries:
        """What workers hold."""
        return LeaseQueries(self.tables)

    @cached_property
    def reports(self) -> ReportQueries:
        """What workers report."""
        return ReportQueries(self.tables)

    @cached_property
    def telemetry(self) -> TelemetryQueries:
        """What jobs say and count."""
        return TelemetryQueries(self.tables)

    @cached_property
    def history(self) -> HistoryQueries:
        """What happened."""
        return HistoryQueries(self.tables)

    @cached_property
    def observing(self) -> ObservingQueries:
        """What a transaction did."""
        return ObservingQueries(self.tables)

    @cached_property
    def workers(self) -> WorkerQueries:
        """Who works."""
        return WorkerQueries(self.tables)


@cache
def queries(prefix: str) -> Queries:
    """The statements over the tables whose names begin with `prefix`."""
    return Queries(prefix)
