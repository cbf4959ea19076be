"""Every statement of the store, expressed in peewee and compiled once for the tables of one prefix."""

from __future__ import annotations

from functools import cache

from jobstate.storage.queries.history import HistoryQueries
from jobstate.storage.queries.jobs import JobQueries
from jobstate.storage.queries.leases import LeaseQueries
from jobstate.storage.queries.lists import ListQueries
from jobstate.storage.queries.reports import ReportQueries
from jobstate.storage.queries.workers import WorkerQueries
from jobstate.storage.tables import define


class Queries:
    """The statements by what they are about, and the tables they are over."""

    def __init__(self, prefix: str) -> None:
        self.tables = define(prefix)
        self.jobs = JobQueries(self.tables)
        self.lists = ListQueries(self.tables)
        self.leases = LeaseQueries(self.tables)
        self.reports = ReportQueries(self.tables)
        self.history = HistoryQueries(self.tables)
        self.workers = WorkerQueries(self.tables)


@cache
def queries(prefix: str) -> Queries:
    """The statements over the tables whose names begin with `prefix`."""
    return Queries(prefix)
