"""Records of `logging` that say which run they are about: `job_id`, `kind`, `attempt`, `node` and `token`.

Records are about the run whose `with` block their thread is in. What jobstate itself logs about a run, and what a
handler says through `run.log`, carries these attributes in any case, from every thread.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from jobstate.domain.job import row_of
from jobstate.worker.run_log import BOUND, bound, current


class RunContext(logging.Filter):
    """Binds records to the run that they are about; add it to a handler: `handler.addFilter(RunContext())`.

    It lets every record pass. A filter of a handler sees the records of all loggers, one of a logger only its own.

    Args:
        default: What stands for each attribute outside of a run, so that a format such as `%(job_id)s` always works.
    """

    def __init__(self, default: object = "-") -> None:
        super().__init__()
        self._default = default

    def filter(self, record: logging.LogRecord) -> bool:
        """Set what the record does not have yet."""
        run = current()
        fields = {} if run is None else bound(row_of(run.job))
        for name in BOUND:
            if not hasattr(record, name):
                setattr(record, name, fields.get(name, self._default))
        return True


def run_context(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The same for structlog, as one of its processors: `structlog.configure(processors=[run_context, …])`.

    Outside of a run it adds nothing; what an event names itself stays as it is.
    """
    run = current()
    if run is not None:
        for name, value in bound(row_of(run.job)).items():
            event.setdefault(name, value)
    return event
