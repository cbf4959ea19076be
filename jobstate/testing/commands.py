"""Commands of operators and workers on one job, as values that Hypothesis can draw, shrink and show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from jobstate.domain.errors import (
    CheckpointNotFound,
    JobNotTerminal,
    LeaseLost,
    RestartNotAllowed,
    TransitionNotAllowed,
)
from jobstate.domain.stop import StopMode
from jobstate.testing.paths import WHY
from jobstate.testing.staged_store import Stage
from jobstate.worker.run import Run

_REFUSALS: Final = (CheckpointNotFound, JobNotTerminal, LeaseLost, RestartNotAllowed, TransitionNotAllowed)


@dataclass
class Life:
    """A job of a staged store, and its newest run that a command claimed; the lease of that run may be lost."""

    stage: Stage
    job_id: int
    run: Run | None = None

    def held(self) -> Run:
        """The run; without one, the verb of a worker is refused as that of a stale worker is."""
        if self.run is None:
            raise LeaseLost(self.job_id, 0)
        return self.run


Verb = Callable[[Life], object]


def _claim(life: Life) -> None:
    kind = life.stage.store.get(life.job_id).kind
    for run in life.stage.store.claim("worker-01", kinds=[kind]):
        if run.id == life.job_id:
            life.run = run
        else:
            run.release()


def _stop(mode: StopMode) -> Verb:
    return lambda life: life.stage.store.stop(life.job_id, mode=mode)


def _rescale(life: Life) -> None:
    store = life.stage.store
    store.rescale(life.job_id, store.get(life.job_id).parallelism % 4 + 1)


def _rescaled(life: Life) -> None:
    run = life.held()
    run.heartbeat()
    if run.rescale_to is not None:
        run.rescaled()


BY_OPERATORS: Final[Mapping[str, Verb]] = {
    "schedule": lambda life: life.stage.store.schedule(life.job_id),
    **{f"stop {mode}": _stop(mode) for mode in StopMode},
    "rescale": _rescale,
    "fail by an operator": lambda life: life.stage.store.fail(life.job_id, WHY),
    "restart": lambda life: life.stage.store.restart(life.job_id),
    "sweep": lambda life: life.stage.store.sweep(),
}
BY_WORKERS: Final[Mapping[str, Verb]] = {
    "claim": _claim,
    "heartbeat": lambda life: life.held().heartbeat(),
    "checkpoint": lambda life: life.held().checkpoint(state=1),
    "complete": lambda life: life.held().complete(),
    "fail": lambda life: life.held().fail(WHY),
    "fail for good": lambda life: life.held().fail(WHY, retryable=False),
    "release": lambda life: life.held().release(),
    "rescaled": _rescaled,
    "begin_stop": lambda life: life.held().begin_stop(),
    "finish_stop": lambda life: life.held().finish_stop(),
}
_VERBS: Final = {**BY_OPERATORS, **BY_WORKERS}


class Command(NamedTuple):
    """One verb to try, after `wait` seconds."""

    verb: str
    wait: float = 0.0

    def carry_out(self, life: Life) -> bool:
        """Try it; False if the lifecycle refused it, which leaves the job unchanged."""
        life.stage.clock.sleep(self.wait)
        try:
            _VERBS[self.verb](life)
        except _REFUSALS:
            return False
        return True
