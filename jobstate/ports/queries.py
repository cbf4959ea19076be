"""Filters, orders and pages of lists: of jobs, and of what jobs report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from jobstate.domain.job import Job
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogEntry
from jobstate.domain.output import OutputRow

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list has; a field that is None or empty does not filter."""

    states: frozenset[State] = field(default_factory=lambda: frozenset(State))
    kind: str | None = None
    node_id: str | None = None
    """Jobs that this worker runs or that are pinned to it."""
    pipeline_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first. `next_cursor` is the `after` of the next page, or None when this is the last."""

    jobs: list[Job]
    next_cursor: int | None


class SortKey(StrEnum):
    """The columns that jobs can be sorted by."""

    ID = "id"
    CREATED_AT = "created_at"
    STARTED_AT = "started_at"
    FINISHED_AT = "finished_at"
    STATE = "state"
    RUN_ID = "run_id"


class Order(NamedTuple):
    """How jobs are sorted: by one column, ties by id in the same direction. Jobs without a value come last."""

    by: SortKey
    falling: bool
    ranks: tuple[int, ...] = ()
    """When sorting by state: the rank of each state, in the order of `State`."""


@dataclass(frozen=True, slots=True)
class Slice(Generic[Row]):
    """Part of a longer list, and iterable. `has_more`: more rows follow."""

    rows: list[Row]
    has_more: bool

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries of a log; iterable.

    `has_more`: more entries follow this page. `total`: how many the job has written in all, whatever the filter;
    `retained`: how many of those are kept.
    """

    entries: list[LogEntry]
    has_more: bool
    total: int
    retained: int

    def __iter__(self) -> Iterator[LogEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True, slots=True)
class OutputPage:
    """Rows of output; iterable.

    `has_more`: more rows follow this page. `total`: how many were emitted in all, or by the operator if one was given;
    `retained`: how many of those are kept.
    """

    rows: list[OutputRow]
    has_more: bool
    total: int
    retained: int

    def __iter__(self) -> Iterator[OutputRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class LogRange(NamedTuple):
    """Which part of a log: the newest `limit` entries, or those just before or after the entry with that number."""

    limit: int
    before: int | None = None
    after: int | None = None


class Retention(NamedTuple):
    """How many were written in all, and how many of them are still kept."""

    total: int
    retained: int
