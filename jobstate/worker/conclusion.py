"""What leaving the block of a run does to its job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from jobstate.domain.errors import Fatal, JobStateError, JobStopping, LeaseLost, TransitionNotAllowed
from jobstate.domain.failure import Failure, FailureKind
from jobstate.worker.run_control import RunControl, failure_of
from jobstate.worker.run_log import bound

_RETRY_PAUSE: Final = 0.05

logger = logging.getLogger("jobstate.worker")


def conclude(control: RunControl, error: BaseException | None) -> bool:
    """Settle the job as its block ended: completed, failed, stopped or handed back.

    Args:
        control: The run.
        error: The exception that left the block.

    Returns:
        Whether the exception has been dealt with; only interrupts of the process have not.
    """
    passes = error is not None and not isinstance(error, Exception | JobStopping)
    try:
        if not control.settled:
            control.confirm_end()
        if not control.settled:
            _repeat_while_busy(control, _verb_for(control, error))
        elif isinstance(error, Exception) and not isinstance(error, LeaseLost):
            control.warn("job %d had ended before its handler failed: %r", error, exc_info=error)
    except LeaseLost as lost:
        control.lose()
        control.warn("job %d: %s", lost)
    except TransitionNotAllowed as ended:
        control.end_for_good()
        control.warn("job %d: %s", ended)
    except JobStateError:
        if passes or error is None:
            raise
        logger.exception("job %d: could not be settled; its lease will run out", control.id, extra=bound(control.row))
    finally:
        if control.gone:
            control.report_loss()
        control.notify_settled()
    return not passes


def _verb_for(control: RunControl, error: BaseException | None) -> Callable[[], object]:
    """The verb that the end of the block means."""
    requests = control.requests
    if isinstance(error, LeaseLost):
        raise error
    if error is None or isinstance(error, JobStopping):
        if requests.stop is not None and requests.seen:
            return control.finish_stop
        if requests.shutdown and (requests.seen or error is not None):
            return control.release
        if error is None:
            return control.complete
        unasked = Failure("the handler stopped without being asked to", FailureKind.ERROR, JobStopping.__qualname__)
        return partial(control.fail, unasked)
    if not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit: the worker ends, not the job
        return control.release
    control.warn("job %d failed: %r", error, exc_info=error)
    fatal = isinstance(error, Fatal) or control.job.retry.is_fatal(error)
    return partial(control.fail, failure_of(error, FailureKind.FATAL if fatal else FailureKind.ERROR))


def _repeat_while_busy(control: RunControl, verb: Callable[[], object]) -> None:
    """Call the verb again where the store was busy or full, as long as the lease lasts."""
    warned = False
    while True:
        try:
            verb()
        except JobStateError as error:
            if not error.retryable or control.lost:
                raise
            if not warned:
                control.warn("job %d: %s; trying again", error)
                warned = True
            control.context.real_sleep(_RETRY_PAUSE)
        else:
            return
