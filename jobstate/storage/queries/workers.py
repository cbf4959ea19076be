"""Who works."""

from __future__ import annotations

from typing import Final

from jobstate.storage.compiled import Param, sql
from jobstate.storage.tables import Tables

COLUMNS: Final = ("node_id", "started_at", "heartbeat_at", "host", "pid", "kinds", "concurrency")


class WorkerQueries:
    """The SQL of `jobstate.storage.workers`."""

    def __init__(self, tables: Tables) -> None:
        workers = tables.workers
        self.register = sql(
            workers.insert({getattr(workers, name): Param(name) for name in COLUMNS}).on_conflict(
                conflict_target=[workers.node_id],
                update={getattr(workers, name): Param(name) for name in COLUMNS[1:]},
            )
        )
        self.leave = sql(
            workers.delete().where((workers.node_id == Param("node_id")) & (workers.started_at == Param("started_at")))
        )
        self.listed = sql(workers.select(*(getattr(workers, name) for name in COLUMNS)).order_by(workers.node_id))
