"""Every statement of the store, expressed in peewee and compiled once for the tables of one prefix."""

from __future__ import annotations

from functools import cache, cached_property

from jobstate.storage.schema.tables import define
from jobstate.storage.statements.history import HistoryStatements, ObservingStatements
from jobstate.storage.statements.jobs import JobStatements
from jobstate.storage.statements.leases import LeaseStatements, WorkerStatements
from jobstate.storage.statements.lists import ListStatements
from jobstate.storage.statements.reports import ReportStatements
from jobstate.storage.statements.telemetry import TelemetryStatements


class Statements:
    """The statements by subject, and the tables they read and write.

    Each group is compiled when it is first needed: a command that lists jobs writes none and claims none.
    """

    def __init__(self, prefix: str) -> None:
        self.tables = define(prefix)

    @cached_property
    def jobs(self) -> JobStatements:
        """One job at a time."""
        return JobStatements(self.tables)

    @cached_property
    def lists(self) -> ListStatements:
        """Pages of jobs."""
        return ListStatements(self.tables)

    @cached_property
    def leases(self) -> LeaseStatements:
        """Claims and leases."""
        return LeaseStatements(self.tables)

    @cached_property
    def reports(self) -> ReportStatements:
        """Progress and checkpoints."""
        return ReportStatements(self.tables)

    @cached_property
    def telemetry(self) -> TelemetryStatements:
        """Metrics, logs and output."""
        return TelemetryStatements(self.tables)

    @cached_property
    def history(self) -> HistoryStatements:
        """History and audit."""
        return HistoryStatements(self.tables)

    @cached_property
    def observing(self) -> ObservingStatements:
        """The entries that a transaction wrote."""
        return ObservingStatements(self.tables)

    @cached_property
    def workers(self) -> WorkerStatements:
        """Registered workers."""
        return WorkerStatements(self.tables)


@cache
def statements(prefix: str) -> Statements:
    """The statements over the tables whose names begin with `prefix`."""
    return Statements(prefix)
