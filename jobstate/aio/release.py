"""Giving jobs back that nobody is going to work on."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from jobstate.domain.errors import JobStateError
from jobstate.worker.run import Run, control_of

logger = logging.getLogger("jobstate.aio")


def hand_back_all(runs: Iterable[Run]) -> None:
    """Release those of the runs, uncharged, that still hold their jobs."""
    for run in runs:
        _hand_back(run)


def _hand_back(run: Run) -> None:
    try:
        control_of(run).confirm_end()
        if not run.settled:
            run.release()
    except JobStateError as error:
        logger.warning("job %d could not be handed back; its lease will run out: %s", run.id, error)
