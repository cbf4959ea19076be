"""Stop, rescale, recovery and restart together: no interleaving breaks a promise, and without a guard some does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from jobstate.domain import leases, restart_requests
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import TERMINAL, State
from tests.exhaustive.explorer import Violation
from tests.exhaustive.lineage import ALL, EVERY_DAY, Bounds, LineageExplorer, Point
from tests.exhaustive.test_interleavings import _ignores_the_token


@pytest.mark.parametrize("bounds", [EVERY_DAY, pytest.param(ALL, marks=pytest.mark.slow)], ids=["every day", "all"])
def test_no_interleaving_with_a_restart_breaks_a_promise(bounds: Bounds) -> None:
    met = LineageExplorer(bounds).run()
    print(met)
    assert met.lineages > 4_000
    assert met.restarted > 1_500
    assert met.starts == {Point.NONE, Point.COMPLETED}
    assert met.before >= {"claim", "recover", "rescale", "resume", "release", "request_stop", "finish_stop", "halt"}


@dataclass(frozen=True)
class Mutant:
    """The rules of a restart with one taken out, and the promise that then breaks."""

    guard: str
    breaks: str
    name: str
    weakened: Callable[..., Any]


_check_restartable: Final = restart_requests.check_restartable


def _whoever_restarts_it(job: JobRow, successor: int | None) -> None:
    _check_restartable(job, None)


def _in_any_state(job: JobRow, successor: int | None) -> None:
    if successor is not None:
        _check_restartable(job._replace(state=State.STOPPED), successor)


def _whenever_it_ended(job: JobRow, successor: int | None) -> None:
    _check_restartable(job._replace(state=State.STOPPED) if job.state in TERMINAL else job, successor)


def _only_when_it_failed(job: JobRow, successor: int | None) -> None:
    _check_restartable(job._replace(state=State.COMPLETED) if job.state is State.STOPPED else job, successor)


MUTANTS: Final = (
    Mutant(
        "no second restart while the first lives",
        "two live jobs restart the same one",
        "check_restartable",
        _whoever_restarts_it,
    ),
    Mutant("a live job is not restarted", "a live job was restarted", "check_restartable", _in_any_state),
    Mutant("a completed job is not restarted", "that completed was restarted", "check_restartable", _whenever_it_ended),
    Mutant("a stopped job may be restarted", "a restart was refused that", "check_restartable", _only_when_it_failed),
    Mutant(
        "only a completed checkpoint is restored",
        "a restart began from a checkpoint that was not completed",
        "check_restorable",
        lambda job, checkpoint: None,
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_without_this_rule_some_interleaving_breaks_a_promise(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_requests, mutant.name, mutant.weakened)
    with pytest.raises(Violation, match=mutant.breaks) as found:
        LineageExplorer().run()
    print(found.value)
    assert found.value.path[0] == State.SCHEDULED


def test_the_counterexample_of_two_successors_is_the_shortest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_requests, "check_restartable", _whoever_restarts_it)
    with pytest.raises(Violation) as found:
        LineageExplorer().run()
    assert len(found.value.path) == 4
    assert found.value.path[2:] == ("operator restart", "operator restart")


def test_a_worker_that_was_fenced_cannot_complete_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "check_lease", _ignores_the_token)
    with pytest.raises(Violation, match=r"a worker without a lease took a checkpoint|fenced worker's"):
        LineageExplorer().run()
