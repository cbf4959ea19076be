"""Progress and checkpoints."""

from __future__ import annotations

from typing import Final

from peewee import SQL, Select, fn

from jobstate.domain.checkpoints import CheckpointState
from jobstate.domain.lifecycle import LEASED
from jobstate.storage.mapping import CHECKPOINT_COLUMNS
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, among, literal, sql
from jobstate.storage.statements.fragments import held

_NUMBERS: Final = ("files_count", "total_size_bytes", "start_block", "current_block", "ranges")


class ReportStatements:
    """The SQL of `jobstate.storage.reports`."""

    def __init__(self, tables: Tables) -> None:
        jobs, specs, progress, checkpoints = tables.jobs, tables.specs, tables.progress, tables.checkpoints
        lineages = tables.lineages
        self.is_held = sql(jobs.select(literal(1)).where(held(tables) & among(jobs.state, LEASED)))
        self.mark_written, self.mark_clean = (
            sql(
                jobs.update(
                    {
                        jobs.clean: literal(clean),
                        jobs.fence: SQL(f"-(lease_token + lease_expires_at + {clean})"),
                    }
                ).where(held(tables) & (jobs.clean == literal(1 - clean)))
            )
            for clean in (0, 1)
        )

        self.write_progress = sql(
            progress.insert(
                {getattr(progress, name): Param(name) for name in ("job_id", "table_name", *_NUMBERS)}
            ).on_conflict(
                conflict_target=[progress.job_id, progress.table_name],
                update={getattr(progress, name): Param(name) for name in _NUMBERS},
            )
        )
        self.drop_progress = sql(progress.delete().where(progress.job_id == Param("id")))
        self.progress = sql(
            progress.select(progress.table_name, progress.files_count, progress.total_size_bytes, progress.ranges)
            .where(progress.job_id == Param("id"))
            .order_by(progress.table_name)
        )

        whole = [getattr(checkpoints, name) for name in CHECKPOINT_COLUMNS]
        there = checkpoints.select(fn.MAX(checkpoints.epoch)).where(checkpoints.root_id == Param("root_id"))
        removed = lineages.select(lineages.newest_epoch).where(lineages.root_id == Param("root_id"))
        newest_epoch = fn.MAX(fn.COALESCE(there, literal(0)), fn.COALESCE(removed, literal(0)))
        next_epoch = Select([], [newest_epoch + literal(1)])
        completed = checkpoints.status == literal(CheckpointState.COMPLETED.value)
        of_job = checkpoints.job_id == Param("id")
        self.root_of = sql(specs.select(specs.root_id).where(specs.job_id == Param("id")))
        self.begin_checkpoint = sql(
            checkpoints.insert(
                {
                    **{getattr(checkpoints, name): Param(name) for name in ("job_id", "root_id", "token", "snapshot")},
                    checkpoints.epoch: next_epoch,
                    checkpoints.status: literal(CheckpointState.IN_PROGRESS.value),
                    checkpoints.start_at: Param("now"),
                    checkpoints.size_bytes: literal(0),
                }
            ).returning(checkpoints.id)
        )
        details = {
            getattr(checkpoints, name): fn.COALESCE(Param(name), getattr(checkpoints, name))
            for name in ("state", "size_bytes", "backend", "location", "operators")
        }
        this_one = (checkpoints.id == Param("number")) & of_job
        self.write_details = sql(checkpoints.update(details).where(this_one))
        self.end_checkpoint = sql(
            checkpoints.update(
                {
                    checkpoints.status: Param("status"),
                    checkpoints.finish_at: Param("now"),
                    checkpoints.failure: Param("failure"),
                }
            ).where(this_one)
        )
        surplus = (
            checkpoints.select(checkpoints.id)
            .where(of_job & (checkpoints.status == Param("status")))
            .order_by(checkpoints.epoch.desc())
            .limit(literal(-1))
            .offset(Param("keep"))
        )
        self.drop_old_checkpoints = sql(checkpoints.delete().where(checkpoints.id.in_(surplus)))
        self.newest_completed = sql(
            checkpoints.select(*whole).where(of_job & completed).order_by(checkpoints.epoch.desc()).limit(literal(1))
        )
        self.checkpoint_of_lineage = sql(
            checkpoints.select(*whole).where(
                (checkpoints.id == Param("id")) & (checkpoints.root_id == Param("root_id"))
            )
        )
        copied = (
            "status",
            "start_at",
            "finish_at",
            "size_bytes",
            "backend",
            "location",
            "operators",
            "state",
            "snapshot",
        )
        columns = [getattr(checkpoints, name) for name in ("job_id", "root_id", "epoch", "token", *copied)]
        values = [Param("job_id"), Param("root_id"), next_epoch, literal(0)]
        source = checkpoints.alias("source")
        self.copy_checkpoint = sql(
            checkpoints.insert_from(
                source.select(*values, *(getattr(source, name) for name in copied)).where(source.id == Param("copied")),
                columns,
            )
        )
        self.checkpoint_of_job = sql(checkpoints.select(*whole).where((checkpoints.id == Param("number")) & of_job))
        self.checkpoint = sql(checkpoints.select(*whole).where(checkpoints.id == Param("id")))
        others = checkpoints.status != literal(CheckpointState.COMPLETED.value)
        self.checkpoints = {
            wanted: sql(
                checkpoints.select(*whole)
                .where(chosen)
                .order_by(checkpoints.epoch.desc())
                .limit(Param("limit"))
                .offset(Param("offset"))
            )
            for wanted, chosen in ((None, of_job), (True, of_job & completed), (False, of_job & others))
        }
