"""Metrics, logs and output."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from peewee import SQL, Select, fn

from jobstate.domain.logs import TROUBLE, LogLevel
from jobstate.storage.mapping import LOG_COLUMNS, METRIC_COLUMNS, OUTPUT_COLUMNS
from jobstate.storage.schema.constraints import IS_TROUBLE
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, among, insert, literal, sql
from jobstate.storage.statements.fragments import by_index


class LogShape(NamedTuple):
    """Which filters a page of entries has; but for the levels, their values are bound at each run."""

    levels: tuple[LogLevel, ...]
    operator: bool
    task: bool
    since: bool
    until: bool
    before: bool
    after: bool


class TelemetryStatements:
    """The SQL of `jobstate.storage.telemetry`."""

    def __init__(self, tables: Tables) -> None:
        metrics, logs, output = tables.metrics, tables.logs, tables.output
        self._logs = logs
        self.logs = cache(self._read_logs)
        self.write_metrics = sql(
            metrics.insert({getattr(metrics, name): Param(name) for name in ("job_id", *METRIC_COLUMNS)}).on_conflict(
                conflict_target=[metrics.job_id, metrics.operator_id, metrics.subtask_index],
                update={getattr(metrics, name): Param(name) for name in METRIC_COLUMNS[2:]},
            )
        )
        self.drop_metrics = sql(metrics.delete().where(metrics.job_id == Param("id")))
        self.metrics = sql(
            metrics.select(*(getattr(metrics, name) for name in METRIC_COLUMNS))
            .where(metrics.job_id == Param("id"))
            .order_by(metrics.operator_id, metrics.subtask_index)
        )

        self.write_logs = _once(logs, ("job_id", *LOG_COLUMNS))
        of_job = logs.job_id == Param("id")
        self.newest_log = sql(logs.select(fn.COALESCE(fn.MAX(logs.number), literal(0))).where(of_job))
        is_info = logs.level == literal(LogLevel.INFO.value)
        self.oldest_info = sql(logs.select(logs.number).where(of_job & is_info).order_by(logs.number).limit(literal(1)))
        self.count_logs_below = sql(logs.select(fn.COUNT(literal(1))).where(of_job & (logs.number < Param("below"))))
        old = logs.number <= Param("last")
        self.drop_old_logs = sql(logs.delete().where(of_job & old & is_info))
        trouble = among(logs.level, TROUBLE)
        surplus = (
            logs.select(logs.number)
            .where(of_job & trouble & old)
            .order_by(logs.number.desc())
            .limit(literal(-1))
            .offset(Param("errors"))
        )
        self.drop_old_errors = sql(logs.delete().where(of_job & logs.number.in_(surplus)))

        self.write_output = _once(output, ("job_id", *OUTPUT_COLUMNS))
        emitted = output.job_id == Param("id")
        one = emitted & (output.operator_id == Param("operator_id"))
        self.emitted = sql(
            output.select(output.operator_id, fn.MAX(output.number), fn.COUNT(literal(1)))
            .where(emitted)
            .group_by(output.operator_id)
        )
        self.drop_old_output = sql(output.delete().where(one & (output.number <= Param("last"))))
        rows = [getattr(output, name) for name in OUTPUT_COLUMNS]
        page = {"limit": Param("limit"), "offset": Param("offset")}
        self.output_of_operator = sql(_paged(output.select(*rows).where(one).order_by(output.number), **page))
        self.output = sql(
            _paged(output.select(*rows).where(emitted).order_by(output.at, output.operator_id, output.number), **page)
        )

    def _read_logs(self, shape: LogShape) -> str:
        """The newest entries, or those next to one; warnings and errors by the index that holds only them."""
        logs = self._logs.alias("entry")
        troubled = set(shape.levels) <= set(TROUBLE)
        chosen = logs.job_id == Param("id")
        if troubled:
            chosen = SQL(IS_TROUBLE) & chosen
        if len(shape.levels) < len(LogLevel):
            chosen &= among(logs.level, shape.levels)
        for wanted, condition in (
            (shape.after, logs.number > Param("after")),
            (shape.before, logs.number < Param("before")),
            (shape.operator, logs.operator_id == Param("operator_id")),
            (shape.task, logs.task_index == Param("task_index")),
            (shape.since, logs.at >= Param("since")),
            (shape.until, logs.at < Param("until")),
        ):
            if wanted:
                chosen &= condition
        source = by_index(logs, "job_logs_trouble") if troubled else logs
        query = Select([source], [getattr(logs, name) for name in LOG_COLUMNS]).where(chosen)
        order = logs.number.asc() if shape.after else logs.number.desc()
        return sql(query.order_by(order).limit(Param("limit")))


def _once(table: Any, columns: Sequence[str]) -> str:
    """Write a numbered row, unless it exists."""
    return insert(table, columns, verb="INSERT OR IGNORE")


def _paged(query: Any, limit: Param, offset: Param) -> Any:
    return query.limit(limit).offset(offset)
