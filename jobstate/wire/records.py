"""Values whole, as they are stored, for a client that makes them again: the Python client of a server.

The documents of `jobstate.wire.amp` are for everybody, and leave out what only a store needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jobstate.domain import validation
from jobstate.domain.event import Event
from jobstate.domain.job import Job, row_of
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.domain.stop_requests import StopResult
from jobstate.ports.repository import WorkerInfo
from jobstate.wire.instants import instant_in

Record = dict[str, Any]


def job_record(job: Job) -> Record:
    """Every field of a job by its name, instants in microseconds."""
    return row_of(job)._asdict()


def job_of(record: Mapping[str, Any]) -> Job:
    """The job that `job_record` was made of. Fields that this version does not have are dropped."""
    fields = {name: record[name] for name in JobRow._fields if name in record}
    fields["state"] = State(fields["state"])
    for name, kind in (("stop_mode", StopMode), ("stop_outcome", StopOutcome)):
        fields[name] = None if fields[name] is None else kind(fields[name])
    return Job(JobRow(**fields))


def stop_record(result: StopResult) -> Record:
    """What a request to stop came to."""
    expected = result.expected_finish_time
    return {
        "changed": result.changed,
        "job": job_record(result.job),
        "expected_finish_us": None if expected is None else validation.instant_us("expected_finish_time", expected),
    }


def stop_of(record: Mapping[str, Any]) -> StopResult:
    """The result that `stop_record` was made of."""
    expected = record["expected_finish_us"]
    return StopResult(
        record["changed"], job_of(record["job"]), None if expected is None else validation.instant(expected)
    )


def progress_record(tables: Mapping[str, TableProgress]) -> Record:
    """Progress by table, with what lies behind gaps."""
    return {
        "tables": {
            name: {
                "files_count": table.files_count,
                "total_size_bytes": table.total_size_bytes,
                "ranges": [list(blocks) for blocks in table.ranges],
            }
            for name, table in tables.items()
        }
    }


def progress_of(record: Mapping[str, Any]) -> dict[str, TableProgress]:
    """The progress that `progress_record` was made of."""
    return {
        name: TableProgress(
            table["files_count"], table["total_size_bytes"], tuple((first, last) for first, last in table["ranges"])
        )
        for name, table in record["tables"].items()
    }


def event_of(document: Mapping[str, Any]) -> Event:
    """The history entry that `amp.event_document` was made of."""
    from_state = document["from"]
    return Event(
        id=document["id"],
        job_id=document["job_id"],
        seq=document["seq"],
        at_us=_instant_us(document["created_at"]),
        from_state=None if from_state is None else State(from_state),
        to_state=State(document["to"]),
        trigger=document["event_type"],
        actor=document["actor"],
        reason=document["reason"],
        node=document["node_id"] or None,
        attempt=document["attempt"],
        token=document["token"],
        # Spelled as the history is written, so that the entry is equal to the one in the store.
        detail_json=json.dumps(document["detail"], ensure_ascii=False) if document["detail"] else None,
    )


def worker_of(document: Mapping[str, Any]) -> WorkerInfo:
    """The worker that `amp.worker_document` was made of."""
    kinds = document["kinds"]
    return WorkerInfo(
        document["node_id"],
        _instant_us(document["started_at"]),
        _instant_us(document["heartbeat_at"]),
        document["host"],
        document["pid"],
        None if kinds is None else tuple(kinds),
        document["concurrency"],
    )


def _instant_us(text: str) -> int:
    return validation.instant_us("instant", instant_in("instant", text))
