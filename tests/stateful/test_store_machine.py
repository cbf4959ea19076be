"""A store and a plain model of it take the same steps, and agree after every one of them.

`JOBSTATE_HYPOTHESIS=long` runs many more examples, and other ones at each run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import jobstate
from jobstate import LIFECYCLE, Checkpoint, Event, Job, JobStore, Observer, RetryPolicy, Run, State
from jobstate.core.arguments import ModeWord, PruneFilter
from jobstate.domain import validation
from jobstate.domain.audit import audit_job
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from tests.stateful.model import PENDING, SAID, TERMINAL, Model, Refused, Row

Thing = TypeVar("Thing")
LONG: Final = os.environ.get("JOBSTATE_HYPOTHESIS") == "long"
SETTINGS: Final = settings(
    max_examples=1000 if LONG else 240,
    stateful_step_count=80 if LONG else 40,
    deadline=None,
    derandomize=not LONG,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

LEASE: Final = 10
KEEP: Final = 2
RETRY: Final = RetryPolicy(initial=2, factor=2, cap=5, jitter=0)
NODES: Final = st.sampled_from(["worker-a", "worker-b"])
KINDS: Final = st.sampled_from(["extract", "load"])
MODES: Final = st.sampled_from(["checkpoint", "checkpoint", "immediate", "force"])
WORDS: Final = {
    "terminal": {"Completed", "Stopped", "Failed"},
    "completed": {"Completed"},
    "stopped": {"Stopped"},
    "error": {"Failed"},
}
AFTER: Final = st.sampled_from([0, 0, 0, 0, 0, 1, 2.000001, LEASE - 0.000001, LEASE, 25])
"""Seconds that pass before a step."""
INDEX: Final = st.integers(0, 1000)
VERBS: Final = (
    *("heartbeat", "flush", "checkpoint", "complete", "fail", "fail for good", "release", "begin_stop", "finish_stop"),
    "rescaled",
)
PHASES: Final = ("complete_checkpoint", "fail_checkpoint")
Report = tuple[str, int, int] | None
REPORTS: Final = st.sampled_from(
    [None, None, ("blocks", 0, 3), ("blocks", 2, 9), ("blocks", 6, 7), ("blocks", 12, 12), ("logs", 5, 5)]
)
"""What a run reports before a verb: a table and the blocks that were added to it."""
TIMES: Final = st.sampled_from([1, 1, 2])
AUDIT_EVERY: Final = 1 if LONG else 25
ROOM: Final = 6
"""How many jobs there may be at once: few, so that every rule meets jobs that others have changed."""


def pick(things: list[Thing], index: int) -> Thing:
    """One of them, whichever number was drawn; the newest ones first, so that small examples are about them."""
    return things[-1 - index % len(things)]


class Worked:
    """A run as its worker knows it: the run itself, and what it has reported so far."""

    def __init__(self, run: Run, progress: dict[str, Any]) -> None:
        self.run = run
        self.id = run.id
        self.token = run.token
        self.progress = dict(progress)
        self.unwritten: set[str] = set()
        self.said: list[str] = []
        self.stops: str | None = None
        self.tasks = run.parallelism
        self.point: Checkpoint | None = None
        """The checkpoint that was begun last."""

    @property
    def buffered(self) -> dict[str, Any]:
        numbers = {table: self.progress[table] for table in self.unwritten}
        return {**numbers, SAID: [*self.said]} if self.said else numbers

    def report(self, table: str, first: int, last: int) -> None:
        files, blocks, records = self.progress.get(table, (0, frozenset(), 0))
        added = range(first, last + 1)
        self.progress[table] = (files + 1, blocks | set(added), records + len(added))
        self.unwritten.add(table)
        self.run.add_range(table, first, last, files=1)
        self.run.metrics(table, kind="sink", records_out=len(added))
        if first == last:
            self.said.append(f"{table} {first}")
            self.run.log.info("%s %d", table, first)


class StoreMachine(RuleBasedStateMachine):
    """The rules are calls on the store; each is made on the model first, which says what to expect."""

    reached: ClassVar[Counter[str]] = Counter()
    edges: ClassVar[set[tuple[str, str, str]]] = set()
    in_a_file: ClassVar[bool] = False

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.folder = Path(tempfile.mkdtemp()) if self.in_a_file else None
        target = ":memory:" if self.folder is None else self.folder / "jobs.db"
        self.store: JobStore = jobstate.open(
            target,
            clock=self.clock,
            durability="normal",
            keep_checkpoints=KEEP,
            actor="test:machine",
            observers=self.observers(),
        )
        self.model = Model(keep=KEEP, initial=2, factor=2, cap=5)
        self.works: list[Worked] = []
        self.steps = 0
        self.some_jobs_to_begin_with()

    def observers(self) -> Sequence[Observer]:
        """Who is told of what happens."""
        return ()

    def some_jobs_to_begin_with(self) -> None:
        """One that has a checkpoint, one that waits for its retry, one in the queue and one that is held back."""
        for hold in (False, False, False, True):
            given: dict[str, Any] = {"kind": "extract", "key": None, "hold": hold, "node_id": ""}
            job = self.store.submit(**given, priority=0, max_attempts=3, retry=RETRY)
            self.model.submit(job.id, self.now, delay=0, priority=0, max_attempts=3, **given)
        self.claim_for("worker-a", None, 2)
        first, second = self.held()
        first.report("blocks", 0, 3)
        self.try_verb("holder: checkpoint", first, "checkpoint")
        self.try_verb("holder: release", first, "release")
        self.try_verb("holder: fail", second, "fail")

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.audit()
            self.edges.update(self.model.edges)
            self.store.close()
            if self.folder is not None:
                shutil.rmtree(self.folder)

    # What both are asked, and how the answers are held against each other.

    @property
    def now(self) -> int:
        return self.clock.now()

    def met(self, what: str) -> None:
        self.reached[what] += 1
        event(what)

    def both(self, what: str, expected: Callable[[], Any], call: Callable[[], Any]) -> tuple[Any, Any] | None:
        """The expected answer and the given one; None when the call was refused, as it had to be."""
        try:
            wanted = expected()
        except Refused as refused:
            with pytest.raises(refused.error):
                call()
            self.met(f"{what}: {refused.error.__name__}")
            return None
        answer = call()
        self.met(what)
        return wanted, answer

    def agreed(self, what: str, expected: Callable[[], Any], call: Callable[[], Any]) -> tuple[Any, Any]:
        """As `both`, for what is never refused."""
        answers = self.both(what, expected, call)
        assert answers is not None
        return answers

    def a_job(self, index: int) -> int:
        return pick(sorted(self.model.jobs), index)

    def is_any_job(self) -> bool:
        return bool(self.model.jobs)

    def has_room(self) -> bool:
        return len(self.model.jobs) < ROOM

    def live(self) -> list[int]:
        return sorted(job_id for job_id, job in self.model.jobs.items() if job["state"] not in TERMINAL)

    def a_live(self, index: int) -> int:
        return pick(self.live(), index)

    def is_any_live(self) -> bool:
        return bool(self.live())

    def held(self) -> list[Worked]:
        return [work for work in self.works if self.model.holds(work.id, work.token)]

    def stopping(self) -> list[Worked]:
        return [work for work in self.held() if self.model.jobs[work.id]["state"] in PENDING]

    def stale(self) -> list[Worked]:
        return [work for work in self.works if not self.model.holds(work.id, work.token)]

    def time_passes(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        if seconds:
            self.met("time passes")

    # Operators.

    @precondition(has_room)
    @rule(
        kind=KINDS,
        key=st.sampled_from([None, None, "k1", "k2"]),
        hold=st.sampled_from([False, False, False, True]),
        delay=st.sampled_from([0, 0, 0, 3]),
        priority=st.integers(-1, 1),
        max_attempts=st.integers(1, 3),
        node_id=st.sampled_from(["", "", "", "worker-a"]),
        claimed=st.booleans(),
    )
    def submit(self, *, delay: int, claimed: bool, **given: Any) -> None:
        now = self.now
        instant = None if delay == 0 else validation.instant(now + delay * 1_000_000)
        answers = self.both(
            "submit",
            lambda: self.model.holder_of(given["key"], given["kind"]),
            lambda: self.store.submit(**given, available_at=instant, retry=RETRY),
        )
        if answers is None:
            return
        held, job = answers
        if held is not None:
            assert job.deduplicated
            assert job.id == held
            self.met("submit: the live job")
            return
        assert not job.deduplicated
        assert job.id > max([0, *self.model.jobs, *self.model.gone])
        self.model.submit(job.id, now, delay=delay, **given)
        if claimed:
            self.claim_for("worker-a", None, 1)

    @precondition(is_any_live)
    @rule(
        after=AFTER,
        index=INDEX,
        modes=st.lists(MODES, min_size=1, max_size=2),
        timeout=st.sampled_from([0, 4, 15, 40]),
        reason=st.sampled_from(["one", "two"]),
    )
    def stop(self, after: float, index: int, modes: list[ModeWord], timeout: int, reason: str) -> None:
        self.time_passes(after)
        job_id = self.a_live(index)
        for mode in modes:
            self.stop_one(job_id, mode, timeout, reason)

    def stop_one(self, job_id: int, mode: ModeWord, timeout: int, reason: str) -> None:
        state = self.model.jobs[job_id]["state"]
        again = " again" if state in PENDING else " of what has ended" if state in TERMINAL else ""
        changed, result = self.agreed(
            f"stop {mode}{again}",
            lambda: self.model.stop(job_id, mode, timeout, reason, self.now),
            lambda: self.store.stop(job_id, mode=mode, timeout=timeout, reason=reason),
        )
        assert result.changed is changed
        row = self.model.jobs[job_id]
        expected = row["deadline"] if row["finished"] is None else row["finished"]
        assert result.expected_finish_time == validation.instant(expected)

    @precondition(is_any_job)
    @rule(
        after=AFTER,
        index=INDEX,
        verb=st.sampled_from(
            ["schedule", "operator fail", "operator fail", "rescale", "delete", "prune", "sweep", "wait"]
        ),
        word=st.sampled_from(sorted(WORDS)),
        age=st.sampled_from([None, 0, 5, 60]),
        tasks=st.sampled_from([1, 2, 3]),
    )
    def operate(self, after: float, index: int, verb: str, word: PruneFilter, age: int | None, tasks: int) -> None:
        self.time_passes(after)
        if verb == "prune":
            self.prune(word, age)
        elif verb == "sweep":
            self.sweep()
        elif verb == "wait":
            self.wait_for_a_stop_that_nobody_holds(index)
        else:
            self.operate_on(self.a_job(index), verb, tasks)

    @precondition(is_any_live)
    @rule(
        after=AFTER,
        index=INDEX,
        tasks=st.sampled_from([2, 3]),
        report=REPORTS,
        verb=st.sampled_from((*VERBS, "rescaled", "rescaled")),
        times=TIMES,
        heard=st.booleans(),
        again=st.booleans(),
    )
    def a_holder_is_to_rescale(
        self, after: float, index: int, tasks: int, report: Report, verb: str, times: int, heard: bool, again: bool
    ) -> None:
        """It may have heard of it, and it may be asked for another number since."""
        if not self.held():
            self.claim_for("worker-b", None, 2)
        if self.held():
            work = pick(self.held(), index)
            self.operate_on(work.id, "rescale", tasks)
            if heard:
                self.try_verb("rescaling: heartbeat", work, "heartbeat")
            if again:
                self.operate_on(work.id, "rescale", 5 - tasks)
        self.time_passes(after)
        asked = [work for work in self.held() if self.model.jobs[work.id]["state"] == "Rescaling"]
        self.work("rescaling", asked, index, report, verb, times)

    def operate_on(self, job_id: int, verb: str, tasks: int) -> None:
        calls: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "schedule": (lambda: self.model.schedule(job_id, self.now), lambda: self.store.schedule(job_id)),
            "operator fail": (
                lambda: self.model.fail_by_operator(job_id, self.now),
                lambda: self.store.fail(job_id, "wrong cluster"),
            ),
            "rescale": (
                lambda: self.model.rescale(job_id, tasks, self.now),
                lambda: self.store.rescale(job_id, tasks),
            ),
            "delete": (lambda: self.model.delete(job_id), lambda: self.store.delete(job_id)),
        }
        self.both(verb, *calls[verb])
        if job_id in self.model.gone:
            assert self.store.delete(job_id) is False
            for call in (self.store.schedule, self.store.stop, self.store.get):
                self.both("removed", lambda: self.model.known(job_id), lambda call=call: call(job_id))  # type: ignore[misc]

    @precondition(has_room)
    @precondition(is_any_job)
    @rule(
        after=AFTER,
        index=INDEX,
        whichever=st.sampled_from([False, False, False, True]),
        named=st.sampled_from([None, None, 0, 1, 3]),
        tasks=st.sampled_from([None, None, 2]),
        rival=st.booleans(),
        again=st.booleans(),
        claimed=st.booleans(),
    )
    def restart(
        self,
        after: float,
        index: int,
        whichever: bool,
        named: int | None,
        tasks: int | None,
        rival: bool,
        again: bool,
        claimed: bool,
    ) -> None:
        """One that has ended, mostly; after a rival took its key, or twice, which is refused while the first lives."""
        self.time_passes(after)
        ended = sorted(self.model.jobs.keys() - set(self.live()))
        job_id = pick(ended, index) if ended and not whichever else self.a_job(index)
        key = self.model.jobs[job_id]["key"]
        if rival and key is not None:
            self.submit(
                delay=0, claimed=False, kind="load", key=key, hold=False, node_id="", priority=0, max_attempts=1
            )
        self.restart_one(job_id, named, tasks)
        if again:
            self.restart_one(job_id, named, tasks)
        if claimed:
            self.claim_for("worker-a", None, 5)

    def restart_one(self, job_id: int, named: int | None, tasks: int | None) -> None:
        root = self.model.jobs[job_id]["root"]
        points = [
            (owner, point["epoch"])
            for owner, row in sorted(self.model.jobs.items(), key=lambda found: (found[1]["root"] == root, found[0]))
            for point in row["checkpoints"]
        ]
        chosen = pick(points, named) if points and named is not None else None
        given = None
        if chosen is not None:
            (given,) = [point for point in self.store.checkpoints(chosen[0]) if point.epoch == chosen[1]]
        now = self.now
        answers = self.both(
            "restart",
            lambda: self.model.restart(job_id, chosen, now),
            lambda: self.store.restart(job_id, given, parallelism=tasks),
        )
        if answers is None:
            return
        point, job = answers
        assert job.id > max([*self.model.jobs, *self.model.gone])
        self.model.restarted(job_id, job.id, point, tasks, now)
        self.met(
            "restart: from " + ("nothing" if point is None else "a checkpoint" if given is None else "a named one")
        )

    def prune(self, word: PruneFilter, age: int | None) -> None:
        wanted, removed = self.agreed(
            "prune",
            lambda: self.model.prune(WORDS[word], age, self.now),
            lambda: self.store.prune(word, older_than=age),
        )
        assert removed == wanted
        if removed:
            self.met("prune: some")

    def sweep(self) -> None:
        wanted, settled = self.agreed("sweep", lambda: self.model.sweep(self.now), self.store.sweep)
        assert {job.id for job in settled} == wanted
        if wanted:
            self.met("sweep: some")

    def wait_for_a_stop_that_nobody_holds(self, index: int) -> None:
        rows = sorted(self.model.jobs.items())
        unheld = [job_id for job_id, job in rows if job["state"] == "StopRequested" and job["worker"] is None]
        queued = [job_id for job_id, job in rows if job["state"] == "Scheduled"]
        if queued and not unheld:
            unheld = [pick(queued, index)]
            self.stop_one(unheld[0], "checkpoint", 4, "four")
        if unheld:
            self.model.sweep(self.now)
            assert self.store.wait(pick(unheld, index), timeout=1).state is State.STOPPED
            self.met("wait")

    # Workers.

    @precondition(is_any_live)
    @rule(
        after=AFTER,
        node=NODES,
        kinds=st.sampled_from([None, None, None, {"extract"}, {"load", "unheard of"}]),
        limit=st.sampled_from([1, 2, 5]),
    )
    def claim(self, after: float, node: str, kinds: set[str] | None, limit: int) -> None:
        self.time_passes(after)
        self.claim_for(node, kinds, limit)

    def claim_for(self, node: str, kinds: set[str] | None, limit: int) -> None:
        wanted, runs = self.agreed(
            "claim",
            lambda: self.model.claim(node, kinds, LEASE, limit, self.now),
            lambda: self.store.claim(node, kinds=None if kinds is None else sorted(kinds), lease=LEASE, limit=limit),
        )
        assert [run.id for run in runs] == wanted
        for run in runs:
            row = self.model.jobs[run.id]
            assert run.token == row["token"]
            newest = self.model.newest(row)
            assert (None if run.restored is None else run.restored.state) == (newest and newest["state"])
            self.works.append(Worked(run, row["progress"]))
            restart = " that restarts another" if row["restarted_from"] is not None and row["attempt"] == 1 else ""
            self.met("claim: a job" + restart + (" with a checkpoint" if newest else ""))

    @precondition(is_any_live)
    @rule(after=AFTER, index=INDEX, report=REPORTS, verb=st.sampled_from(VERBS), times=TIMES)
    def a_holder_works(self, after: float, index: int, report: Report, verb: str, times: int) -> None:
        """Any verb, also out of place, and once more as after a lost reply."""
        self.time_passes(after)
        if not self.held():
            self.claim_for("worker-a", None, 2)
        self.work("holder", self.held(), index, report, verb, times)

    @precondition(is_any_live)
    @rule(
        after=AFTER,
        index=INDEX,
        mode=MODES,
        report=REPORTS,
        verb=st.sampled_from((*VERBS, "heartbeat", "complete", "fail for good")),
        times=TIMES,
    )
    def a_holder_is_to_stop(
        self, after: float, index: int, mode: ModeWord, report: Report, verb: str, times: int
    ) -> None:
        if not self.held():
            self.claim_for("worker-b", None, 2)
        if self.held() and not self.stopping():
            self.stop_one(pick(self.held(), index).id, mode, 15, "three")
        self.time_passes(after)
        self.work("stopping", self.stopping(), index, report, verb, times)

    @precondition(is_any_live)
    @rule(after=AFTER, index=INDEX, report=REPORTS, end=st.sampled_from(PHASES), times=TIMES)
    def a_checkpoint_takes_its_time(self, after: float, index: int, report: Report, end: str, times: int) -> None:
        """Begun, completed or failed, and then, which must be refused, the other way too."""
        if not self.held():
            self.claim_for("worker-a", None, 2)
        self.work("holder", self.held(), index, report, "begin_checkpoint", 1)
        self.time_passes(after)
        self.work("holder", self.held(), index, report, end, times)
        self.work("holder", self.held(), index, None, pick([*PHASES], PHASES.index(end) + 1), 1)

    @precondition(is_any_live)
    @rule(after=AFTER, index=INDEX, report=REPORTS, verb=st.sampled_from((*VERBS, *PHASES)), times=TIMES)
    def a_zombie_works(self, after: float, index: int, report: Report, verb: str, times: int) -> None:
        """Every run that was ever claimed is kept, and used again after its lease is gone."""
        self.time_passes(after)
        self.work("zombie", self.stale(), index, report, verb, times)

    def work(self, who: str, among: list[Worked], index: int, report: Report, verb: str, times: int) -> None:
        if among:
            work = pick(among, index)
            if report is not None:
                work.report(*report)
            for turn in range(times):
                self.try_verb(f"{who}: {verb}" + (" again" if turn else ""), work, verb)

    def try_verb(self, what: str, work: Worked, verb: str) -> None:
        model, run, at, buffered = self.model, work.run, (work.id, work.token), work.buffered
        point = work.point
        epoch = None if point is None else point.epoch
        if point is None and verb in ("complete_checkpoint", "fail_checkpoint"):
            verb = "begin_checkpoint"
        tries: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "heartbeat": (lambda: model.heartbeat(*at, LEASE, self.now), run.heartbeat),
            "flush": (lambda: model.flush(*at, buffered), run.flush),
            "checkpoint": (lambda: model.checkpoint(*at, buffered, 7), lambda: run.checkpoint(state=7).epoch),
            "complete": (lambda: model.complete(*at, buffered, self.now), run.complete),
            "fail": (lambda: model.fail(*at, buffered, self.now, retryable=True), lambda: run.fail("failed")),
            "fail for good": (
                lambda: model.fail(*at, buffered, self.now, retryable=False),
                lambda: run.fail("failed", retryable=False),
            ),
            "release": (lambda: model.release(*at, buffered, 3, self.now), lambda: run.release(3)),
            "begin_stop": (lambda: model.begin_stop(*at, buffered, self.now), run.begin_stop),
            "finish_stop": (lambda: model.finish_stop(*at, buffered, self.now), run.finish_stop),
            "begin_checkpoint": (lambda: model.begin_checkpoint(*at, buffered), run.begin_checkpoint),
            "complete_checkpoint": (
                lambda: model.complete_checkpoint(*at, buffered, epoch, 8),
                lambda: run.complete_checkpoint(point, state=8),  # type: ignore[arg-type]
            ),
            "fail_checkpoint": (
                lambda: model.fail_checkpoint(*at, epoch),
                lambda: run.fail_checkpoint(point, "bucket gone"),  # type: ignore[arg-type]
            ),
            "rescaled": (lambda: model.rescaled(*at, buffered, work.tasks, self.now), run.rescaled),
        }
        answers = self.both(what, *tries[verb])
        if answers is None:  # what was reported is kept for the next verb, and so is why it failed
            if verb in ("fail", "fail for good") and "failed" not in work.said:
                work.said.append("failed")
            return
        wanted, answer = answers
        if verb in ("heartbeat", "rescaled"):
            assert (None if answer is None else answer.mode.value) == wanted
            target = model.jobs[work.id]["target"]
            assert run.rescale_to == target
            if verb == "rescaled":
                assert run.parallelism == model.jobs[work.id]["parallelism"]
                self.met(f"{what}: {'asked again' if target else 'done'}")
            work.tasks = target or work.tasks
        if verb == "begin_checkpoint":
            work.point = answer
            assert answer.epoch == wanted
        if verb not in ("heartbeat", "fail_checkpoint"):
            work.unwritten.clear()
            work.said.clear()
            assert verb != "checkpoint" or answer == wanted

    # After every step.

    @invariant()
    def both_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        found = {job.id: job for job in self.store.iterate("all")}
        assert found.keys() == self.model.jobs.keys()
        for job_id, row in self.model.jobs.items():
            events = self.store.events(job_id)
            self.row_agrees(found[job_id], row)
            self.history_agrees_and_folds_to_the_row(events, row)
            self.reports_agree(job_id, row)
            assert not list(audit_job(row_of(found[job_id]), events))
        self.steps += 1
        if self.steps % AUDIT_EVERY == 0:  # the whole file, schema and all, takes longer than all the rest
            self.audit()

    def row_agrees(self, job: Job, row: Row) -> None:
        stored = {
            "state": job.state,
            "attempt": job.attempt,
            "failures": job.failures,
            "outcome": row_of(job).stop_outcome,
            "reason": row_of(job).stop_reason,
            "mode": row_of(job).stop_mode,
            "token": job.lease_token,
            "worker": job.worker_id,
            "expires": row_of(job).lease_expires_us,
            "available": row_of(job).available_us,
            "deadline": row_of(job).stop_deadline_us,
            "parallelism": job.parallelism,
            "target": job.rescale_to,
            "finished": row_of(job).finished_us,
            "failed": job.failure is not None,
            "key": job.key,
            "root": job.root_id,
            "restarted_from": job.restarted_from,
        }
        assert stored == {name: row[name] for name in stored}, f"job {job.id}"
        assert job.seq == len(row["history"])
        assert job.worker_id is None or job.clean is row["clean"]

    def history_agrees_and_folds_to_the_row(self, events: Sequence[Event], row: Row) -> None:
        told = [(entry.from_state, entry.to_state.value, entry.trigger, entry.attempt) for entry in events]
        assert told == row["history"]
        assert [entry.seq for entry in events] == list(range(1, len(events) + 1))
        state: str | None = None
        for entry in events:
            assert entry.from_state == state
            state = entry.to_state.value
        assert state == row["state"]

    def reports_agree(self, job_id: int, row: Row) -> None:
        progress = self.store.progress(job_id)
        assert progress.keys() == row["progress"].keys()
        counted = {
            operator.operator_id: operator.counters.records_out for operator in self.store.metrics(job_id).operators
        }
        assert counted == {table: records for table, (_, _, records) in row["progress"].items()}
        for table, (files, blocks, _) in row["progress"].items():
            current = min(blocks)
            while current + 1 in blocks:
                current += 1
            assert progress[table].files_count == files
            assert (progress[table].start_block, progress[table].current_block) == (min(blocks), current)
        said = self.store.logs(job_id, limit=1000)
        assert [entry.message for entry in said] == row["said"][::-1]
        assert [entry.number for entry in said] == list(range(len(row["said"]), 0, -1))
        kept = [(point.epoch, point.status, point.state) for point in self.store.checkpoints(job_id)]
        assert kept == [(point["epoch"], point["status"], point["state"]) for point in reversed(row["checkpoints"])]

    def audit(self) -> None:
        report = self.store.audit()
        assert report.ok, report.findings
        assert report.jobs == len(self.model.jobs)


EXPECTED: Final = {
    *("submit", "submit: DuplicateJob", "submit: the live job", "schedule", "schedule: TransitionNotAllowed"),
    *("stop checkpoint", "stop immediate", "stop force", "stop checkpoint again", "stop immediate again"),
    *("stop force again", "stop checkpoint of what has ended", "operator fail", "delete", "delete: JobNotTerminal"),
    *("rescale", "rescale: TransitionNotAllowed"),
    *("restart: from nothing", "restart: from a checkpoint", "restart: from a named one", "restart: RestartNotAllowed"),
    *("restart: CheckpointNotFound", "restart: DuplicateJob"),
    *("claim: a job that restarts another", "claim: a job that restarts another with a checkpoint"),
    *("removed: JobNotFound", "prune: some", "sweep: some", "wait", "time passes"),
    *("claim: a job", "claim: a job with a checkpoint"),
    *(f"holder: {verb}" for verb in VERBS if not verb.endswith("_stop")),
    *(f"holder: {verb}" for verb in ("begin_checkpoint", *PHASES)),
    *(f"holder: {verb}: InvalidRequest" for verb in PHASES),
    *("holder: begin_stop: TransitionNotAllowed", "holder: finish_stop: TransitionNotAllowed"),
    *(f"stopping: {verb}" for verb in VERBS),
    *(f"rescaling: {verb}" for verb in ("complete", "fail", "fail for good", "release", "rescaled")),
    *(f"rescaling: rescaled: {how}" for how in ("done", "asked again")),
    *(f"zombie: {verb}: LeaseLost" for verb in VERBS),
}
"""What the steps must have met, or the machine proves less than it seems to."""
EDGES: Final = {
    (source.value, trigger.value, target.value) for source, row in LIFECYCLE.items() for trigger, target in row.items()
}
RARE: Final = 0 if LONG else 4
"""How many of either a short run may miss by chance; a long one meets all of them."""


class InMemory(StoreMachine):
    """Over `:memory:`."""

    reached: ClassVar[Counter[str]] = Counter()
    edges: ClassVar[set[tuple[str, str, str]]] = set()


class InAFile(StoreMachine):
    """Over a file."""

    reached: ClassVar[Counter[str]] = Counter()
    edges: ClassVar[set[tuple[str, str, str]]] = set()
    in_a_file = True


class EveryDay(StoreMachine):
    """Over `:memory:`, a few of them."""

    reached: ClassVar[Counter[str]] = Counter()
    edges: ClassVar[set[tuple[str, str, str]]] = set()


def test_the_store_agrees_with_a_plain_model_in_a_few_lives() -> None:
    run_state_machine_as_test(EveryDay, settings=settings(SETTINGS, max_examples=25))
    assert EveryDay.edges <= EDGES
    assert len(EveryDay.edges) > len(EDGES) / 2


@pytest.mark.slow
@pytest.mark.timeout(900)  # minutes in a file, on a busy machine
@pytest.mark.parametrize("machine", [InMemory, InAFile])
def test_the_store_agrees_with_a_plain_model_after_every_step(machine: type[StoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=SETTINGS)
    for what, times in machine.reached.most_common():
        print(f"{times:6}  {what}")
    assert machine.edges <= EDGES
    for missed in (EXPECTED - machine.reached.keys(), EDGES - machine.edges):
        assert len(missed) <= RARE, missed
