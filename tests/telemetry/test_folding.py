"""The calls of observers over random lives are exactly the entries of the history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from jobstate import TERMINAL, Event, JobNotFound, Observer, State
from tests.stateful.test_store_machine import INDEX, LONG, StoreMachine
from tests.telemetry.recording import RecordingObserver

SETTINGS: Final = settings(
    max_examples=300 if LONG else 20,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Undone(Exception):
    """Leaves a batch."""


class Observed(StoreMachine):
    """The store of the machine is observed, and now and then a batch of changes is undone."""

    reached: ClassVar[Counter[str]] = Counter()
    edges: ClassVar[set[tuple[str, str, str]]] = set()
    triggers: ClassVar[set[str]] = set()

    def observers(self) -> Sequence[Observer]:
        self.seen = RecordingObserver()
        return [self.seen]

    @rule(index=INDEX, actions=st.lists(st.sampled_from(["submit", "stop", "claim", "sweep", "delete"]), max_size=4))
    @precondition(StoreMachine.is_any_job)
    def undo_a_batch(self, index: int, actions: list[str]) -> None:
        calls: dict[str, Any] = {
            "submit": lambda: self.store.submit("extract"),
            "stop": lambda: self.store.stop(self.a_job(index), mode="force"),
            "claim": lambda: self.store.claim("worker-c", limit=2),
            "sweep": self.store.sweep,
            "delete": self.store.prune,
        }
        with pytest.raises(Undone), self.store.batch():
            for action in actions:
                with suppress(JobNotFound):
                    calls[action]()
            raise Undone
        self.met("a batch undone")

    @invariant()
    def the_transitions_are_the_history(self) -> None:
        if not hasattr(self, "seen"):
            return
        reported: dict[int, list[Event]] = defaultdict(list)
        for one in self.seen.transitions:
            reported[one.event.job_id].append(one.event)
            self.triggers.add(one.event.trigger)
        for job in self.store.iterate("all"):
            events = [event for event in self.store.events(job) if not event.is_note]
            assert reported.pop(job.id) == events
        for removed in reported.values():
            assert removed[-1].to_state in TERMINAL
        ids = [one.event.id for one in self.seen.transitions]
        assert ids == sorted(set(ids))

    @invariant()
    def each_claim_comes_after_its_transition(self) -> None:
        if hasattr(self, "seen"):
            claims = [one.event for one in self.seen.transitions if one.event.to_state is State.RUNNING]
            taken = [event for event in claims if event.trigger == "claim"]
            assert [claim.event for claim in self.seen.claims] == taken

    @invariant()
    def each_loss_is_reported_once(self) -> None:
        if hasattr(self, "seen"):
            lost = [loss.job.lease for loss in self.seen.losses]
            assert len(lost) == len(set(lost))


class ObservedInAFewLives(Observed):
    """Fewer of them."""

    reached: ClassVar[Counter[str]] = Counter()
    triggers: ClassVar[set[str]] = set()


def test_the_transitions_fold_to_the_history_of_a_few_random_lives() -> None:
    run_state_machine_as_test(ObservedInAFewLives, settings=settings(SETTINGS, max_examples=8))
    assert ObservedInAFewLives.triggers >= {"submit", "claim", "complete", "recover", "rescale"}
    assert ObservedInAFewLives.reached["a batch undone"] > 5


@pytest.mark.slow
def test_the_transitions_fold_to_the_history_of_random_lives() -> None:
    run_state_machine_as_test(Observed, settings=SETTINGS)
    assert Observed.triggers >= {"submit", "claim", "complete", "recover", "halt", "finish_stop", "release", "rescale"}
    assert Observed.reached["a batch undone"] > 20
