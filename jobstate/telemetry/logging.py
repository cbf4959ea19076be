"""Adds the run to log records: `job_id`, `kind`, `attempt`, `node` and `token`.

A record belongs to the run whose `with` block its thread is in. Records that jobstate logs about a run, and those of
`run.log`, have these attributes in any case, from every thread.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from jobstate.domain.job import row_of
from jobstate.worker.run_log import BOUND, bound, current


class RunContext(logging.Filter):
    """Adds the run to each record; add it to a handler: `handler.addFilter(RunContext())`.

    It lets every record pass. A filter on a handler sees the records of all loggers, one on a logger only its own.

    Args:
        default: The value of each attribute outside a run, so that a format such as `%(job_id)s` always works.
    """

    def __init__(self, default: object = "-") -> None:
        super().__init__()
        self._default = default

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the attributes that the record does not have yet."""
        run = current()
        fields = {} if run is None else bound(row_of(run.job))
        for name in BOUND:
            if not hasattr(record, name):
                setattr(record, name, fields.get(name, self._default))
        return True


def run_context(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The same as a processor for structlog: `structlog.configure(processors=[run_context, …])`.

    Outside a run it adds nothing. Keys that an event has already keep their values.
    """
    run = current()
    if run is not None:
        for name, value in bound(row_of(run.job)).items():
            event.setdefault(name, value)
    return event
