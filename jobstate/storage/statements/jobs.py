"""Adding, finding, changing and removing jobs."""

from __future__ import annotations

from typing import Final

from peewee import SQL, Select, fn

from jobstate.domain.event import SUBMIT
from jobstate.storage.mapping import MUTABLE_FIELDS, SPEC_FIELDS, column_of
from jobstate.storage.schema.constraints import IS_ENDED, IS_LIVE
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, by_place, literal, sql
from jobstate.storage.statements.fragments import by_index, json_rows, whole_jobs

_PLAIN: Final = ("state", "kind", "node_id", "priority", "available_at", "parallelism", "lease_token", "actor")
"""What is given of every new job: all that is, where nobody gave a key or a reason."""
_PLAIN_SPEC: Final = ("root_id", "max_attempts", "labels_json", "descriptor_json")
"""And of its specification, where it is of no pipeline, no restart, and is retried as usual."""


class JobStatements:
    """The SQL of `jobstate.storage.jobs`."""

    def __init__(self, tables: Tables) -> None:
        jobs, specs, pipelines, gone = tables.jobs, tables.specs, tables.pipelines, tables.deletions
        # A plain job has statements of its own: the driver takes longer to bind a None than any other value.
        self.insert_plain_job = _insert_job(tables, *_PLAIN)
        self.insert_job = _insert_job(tables, *_PLAIN, "key", "reason")
        self.insert_plain_spec = _insert_spec(tables, *_PLAIN_SPEC)
        self.insert_spec = _insert_spec(tables, *SPEC_FIELDS)
        self.next_run = sql(
            pipelines.update({pipelines.last_run_id: pipelines.last_run_id + literal(1)})
            .where(pipelines.pipeline_id == Param("pipeline_id"))
            .returning(pipelines.last_run_id)
        )
        self.first_run = sql(
            pipelines.insert({pipelines.pipeline_id: Param("pipeline_id"), pipelines.last_run_id: literal(1)})
        )
        self.find = sql(whole_jobs(tables).where(jobs.id == Param("id")))
        self.find_key = sql(whole_jobs(tables).where((jobs.key == Param("key")) & SQL(IS_LIVE)))
        self.live_successors = sql(
            Select([by_index(specs, "job_specs_restarted")], [specs.job_id])
            .join(jobs, on=(jobs.id == specs.job_id))
            .where((specs.restarted_from == Param("id")) & SQL(IS_LIVE))
        )
        lineage = Select([by_index(specs, "job_specs_lineage")], [specs.job_id]).where(
            (specs.root_id == Param("root_id")) & SQL("restarted_from IS NOT NULL")
        )
        lineages = tables.lineages
        there = jobs.select(fn.MAX(jobs.lease_token)).where((jobs.id == Param("root_id")) | jobs.id.in_(lineage))
        removed = lineages.select(lineages.newest_token).where(lineages.root_id == Param("root_id"))
        self.newest_token = sql(Select([], [fn.MAX(fn.COALESCE(there, literal(0)), fn.COALESCE(removed, literal(0)))]))
        write_version = sql(
            jobs.update({getattr(jobs, column_of(f)): Param(column_of(f)) for f in MUTABLE_FIELDS}).where(
                (jobs.id == Param("id")) & (jobs.seq == Param("seq") - literal(1))
            )
        )
        self.write_version = by_place(write_version, "id", *map(column_of, MUTABLE_FIELDS))
        self.count_live = sql(
            Select([by_index(jobs, "jobs_live")], [jobs.state, fn.COUNT(literal(1))])
            .where(SQL(IS_LIVE))
            .group_by(jobs.state)
        )
        self.count_ended = sql(
            Select([by_index(jobs, "jobs_ended")], [jobs.state, fn.COUNT(literal(1))])
            .where(SQL(IS_ENDED))
            .group_by(jobs.state)
        )
        chosen = Select([json_rows("ids")], [SQL("value")])
        logs = tables.logs
        newest = logs.select(fn.COALESCE(fn.MAX(logs.number), literal(0))).where(logs.job_id == SQL("value"))
        self.log_lengths = sql(Select([json_rows("ids")], [SQL("value"), newest]))
        record = jobs.select(jobs.id, jobs.kind, jobs.state, Param("now"), Param("actor"), Param("reason")).where(
            jobs.id.in_(chosen) & SQL(IS_ENDED)
        )
        self.record_deletions = sql(
            gone.insert_from(record, [gone.id, gone.kind, gone.state, gone.at, gone.actor, gone.reason])
        )
        self.delete_jobs = sql(jobs.delete().where(jobs.id.in_(chosen)))
        self.forget_deletions = sql(gone.delete().where(gone.at < Param("before")))


def _insert_job(tables: Tables, *given: str) -> str:
    jobs = tables.jobs
    insert = jobs.insert(
        {
            **{getattr(jobs, name): Param(name) for name in given},
            **{getattr(jobs, name): literal(0) for name in ("attempt", "failures", "clean")},
            jobs.created_at: Param("now"),
            jobs.updated_at: Param("now"),
            jobs.seq: literal(1),
            jobs.trigger: literal(SUBMIT),
        }
    )
    return by_place(sql(insert), *given, "now")


def _insert_spec(tables: Tables, *fields: str) -> str:
    specs, columns = tables.specs, [column_of(field) for field in fields]
    given = {getattr(specs, column): Param(column) for column in columns}
    return by_place(sql(specs.insert({specs.job_id: Param("id"), **given})), "id", *columns)
