"""Values as JSON in the Amp dialects: first the fields of the published documents, then our own.

Instants are RFC 3339 in UTC with microseconds and `Z`. All keys are always present.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobstate.domain import validation
from jobstate.domain.audit import AuditReport
from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop_requests import StopResult
from jobstate.ports.repository import WorkerInfo
from jobstate.wire.formats import format_instant
from jobstate.wire.job_fields import AMP, document
from jobstate.wire.states import Dialect, spelled

Document = dict[str, Any]


def job_document(job: Job, dialect: Dialect) -> Document:
    """A job, with the `AMP` fields of `jobstate.wire.job_fields`."""
    return document(AMP, job, dialect)


def page_document(jobs: Sequence[Job], next_cursor: int | None, dialect: Dialect) -> Document:
    """A page of jobs. The published clients of `sdk` accept a missing cursor, but not a null one."""
    document: Document = {"jobs": [job_document(job, dialect) for job in jobs], "next_cursor": next_cursor}
    if next_cursor is None and dialect is Dialect.SDK:
        del document["next_cursor"]
    return document


def progress_document(job: Job, tables: Mapping[str, TableProgress], dialect: Dialect) -> Document:
    """The progress of a job by table; of a failed job also the reason."""
    document: Document = {
        "job_id": job.id,
        "job_status": spelled(job.state, dialect),
        "tables": {
            name: {
                "files_count": table.files_count,
                "total_size_bytes": table.total_size_bytes,
                "start_block": table.start_block,
                "current_block": table.current_block,
            }
            for name, table in tables.items()
        },
    }
    if job.failure is not None and job.is_terminal:
        document["detail"] = job.failure.message
    return document


def event_document(event: Event) -> Document:
    """A history entry."""
    return {
        "id": event.id,
        "job_id": event.job_id,
        "seq": event.seq,
        "created_at": format_instant(event.at),
        "node_id": event.node or "",
        "event_type": event.trigger,
        "from": None if event.from_state is None else event.from_state.value,
        "to": event.to_state.value,
        "actor": event.actor,
        "reason": event.reason,
        "attempt": event.attempt,
        "token": event.token,
        "detail": event.detail,
    }


def worker_document(worker: WorkerInfo) -> Document:
    """A registered worker."""
    return {
        "node_id": worker.node_id,
        "heartbeat_at": format_instant(validation.instant(worker.heartbeat_us)),
        "started_at": format_instant(validation.instant(worker.started_us)),
        "host": worker.host,
        "pid": worker.pid,
        "kinds": None if worker.kinds is None else list(worker.kinds),
        "concurrency": worker.concurrency,
    }


def stop_document(result: StopResult, dialect: Dialect) -> Document:
    """The result of a request to stop: `requested`, `already stopping` or `already terminal`."""
    already = "already terminal" if result.job.is_terminal else "already stopping"
    return {
        "id": result.job.id,
        "outcome": "requested" if result.changed else already,
        "changed": result.changed,
        "status": spelled(result.job.state, dialect),
        "state": result.job.state.value,
        "expected_finish_time": format_instant(result.expected_finish_time),
    }


def audit_document(report: AuditReport) -> Document:
    """The result of an audit."""
    return {
        "ok": report.ok,
        "jobs": report.jobs,
        "events": report.events,
        "findings": [{"job_id": finding.job_id, "problem": finding.problem} for finding in report.findings],
    }
