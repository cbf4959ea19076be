"""The workers that said they are there."""

from __future__ import annotations

import json
from dataclasses import astuple

from jobstate.ports.repository import WorkerInfo
from jobstate.storage.engine import Engine
from jobstate.storage.queries.workers import COLUMNS, WorkerQueries


class SqlWorkers:
    """`jobstate.ports.repository.Workers` over SQL."""

    def __init__(self, engine: Engine, queries: WorkerQueries) -> None:
        self._engine = engine
        self._sql = queries

    def register(self, worker: WorkerInfo) -> None:
        values = dict(zip(COLUMNS, astuple(worker), strict=True))
        values["kinds"] = None if worker.kinds is None else json.dumps(worker.kinds)
        self._engine.run(self._sql.register, values)

    def leave(self, node_id: str, started: int) -> None:
        self._engine.run(self._sql.leave, {"node_id": node_id, "started_at": started})

    def listed(self) -> list[WorkerInfo]:
        return [
            WorkerInfo(node_id, started, beat, host, pid, None if kinds is None else tuple(json.loads(kinds)), many)
            for node_id, started, beat, host, pid, kinds, many in self._engine.read(self._sql.listed)
        ]
