"""Adding, finding, changing and removing jobs."""

from __future__ import annotations

from peewee import SQL, Select, fn

from jobstate.storage.mapping import (
    INSERTED,
    INSERTED_AS_IS,
    INSERTED_PLAIN,
    INSERTED_PLAIN_SPEC,
    INSERTED_SPEC,
    MUTABLE_FIELDS,
    column_of,
)
from jobstate.storage.schema.constraints import IS_ENDED, IS_LIVE
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, insert, literal, sql
from jobstate.storage.statements.fragments import by_index, json_rows, whole_jobs


class JobStatements:
    """The SQL of `jobstate.storage.jobs`."""

    def __init__(self, tables: Tables) -> None:
        jobs, specs, pipelines, gone = tables.jobs, tables.specs, tables.pipelines, tables.deletions
        as_is = {column_of(field): value for field, value in INSERTED_AS_IS.items()}
        self.insert_plain_job = insert(jobs, [*map(column_of, INSERTED_PLAIN)], as_is)
        self.insert_job = insert(jobs, [*map(column_of, INSERTED)], as_is)
        self.insert_plain_spec, self.insert_spec = (
            insert(specs, ["job_id" if field == "id" else column_of(field) for field in fields])
            for fields in (INSERTED_PLAIN_SPEC, INSERTED_SPEC)
        )
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
        written = ", ".join(f'"{column_of(field)}" = ?' for field in MUTABLE_FIELDS)
        self.write_version = (
            f'UPDATE "{jobs._meta.table_name}" SET "fence" = ?, {written} WHERE "id" = ? AND "seq" = ? - 1'
        )
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
            gone.insert_from(
                record, [gone.id, gone.kind, gone.state, gone.at, gone.actor, gone.reason]
            ).on_conflict_replace()  # a record that somebody forged before
        )
        self.delete_jobs = sql(jobs.delete().where(jobs.id.in_(chosen)))
        self.forget_deletions = sql(gone.delete().where(gone.at < Param("before")))
