"""What jobs say, as JSON in the pipeline dialect: entries of logs, and the warnings and errors among them.

Instants are milliseconds since 1970 UTC. All keys are always present.
"""

from __future__ import annotations

import json
from typing import Any, Final

from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.ports.queries import LogPage
from jobstate.wire.instants import milliseconds

Document = dict[str, Any]

LOG: Final = "log_"
ERROR: Final = "err_"
ERROR_LEVELS: Final = {LogLevel.ERROR: "error", LogLevel.WARN: "warning"}
"""How errors spell their levels."""


def logs_document(page: LogPage) -> Document:
    """A page of a log. `total` entries were written by the job in all, `retained` of them are kept."""
    return _page([log_document(entry) for entry in page], page)


def errors_document(page: LogPage) -> Document:
    """A page of warnings and errors; `total` and `retained` are those of the whole log."""
    return _page([error_document(entry) for entry in page], page)


def log_document(entry: LogEntry) -> Document:
    """An entry of a log. Details are an object, or null; a text is the `text` of one."""
    details = entry.details
    return {
        "id": f"{LOG}{entry.number}",
        "timestamp": milliseconds(entry.time),
        "level": entry.level.value,
        "operator_id": entry.operator_id,
        "task_index": entry.task_index,
        "message": entry.message,
        "details": {"text": details} if isinstance(details, str) else details,
        "record": entry.record,
    }


def error_document(entry: LogEntry) -> Document:
    """A warning or an error. Details are a text, or null; an object is told as JSON."""
    details = entry.details
    return {
        "id": f"{ERROR}{entry.number}",
        "timestamp": milliseconds(entry.time),
        "level": ERROR_LEVELS[entry.level],
        "operator_id": entry.operator_id,
        "task_index": entry.task_index,
        "message": entry.message,
        "details": details if details is None or isinstance(details, str) else json.dumps(details, ensure_ascii=False),
        "record": entry.record,
    }


def _page(data: list[Document], page: LogPage) -> Document:
    return {"data": data, "has_more": page.has_more, "total": page.total, "retained": page.retained}
