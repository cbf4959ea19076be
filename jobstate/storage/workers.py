"""The workers that said they are there."""

from __future__ import annotations

import json
from dataclasses import astuple

from jobstate.repository import WorkerInfo
from jobstate.storage.engine import Engine
from jobstate.storage.statements import Statements

_COLUMNS = ("node_id", "started_at", "heartbeat_at", "host", "pid", "kinds", "concurrency")


class SqlWorkers:
    """`jobstate.repository.Workers` over SQL."""

    def __init__(self, engine: Engine, statements: Statements) -> None:
        self._engine = engine
        self._sql = statements

    def register(self, worker: WorkerInfo) -> None:
        values = dict(zip(_COLUMNS, astuple(worker), strict=True))
        values["kinds"] = None if worker.kinds is None else json.dumps(worker.kinds)
        self._engine.run(self._sql.register_worker, values)

    def leave(self, node_id: str, started: int) -> None:
        self._engine.run(self._sql.drop_worker, {"node_id": node_id, "started_at": started})

    def listed(self) -> list[WorkerInfo]:
        return [
            WorkerInfo(*told, None if kinds is None else tuple(json.loads(kinds)), concurrency)
            for *told, kinds, concurrency in self._engine.read(self._sql.workers)
        ]
