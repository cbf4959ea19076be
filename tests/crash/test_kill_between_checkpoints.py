"""A job that is killed at any line of its code loses no block, counts none twice, and redoes what no checkpoint has.

So it is with its progress, and with the counters and latencies of its metrics.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest

import jobstate
from jobstate import Counters, Job, JobStore, RetryPolicy, State
from jobstate.domain import validation
from jobstate.domain.latency import Histogram
from jobstate.testing.clock import ManualClock
from tests.crash.counting import (
    EVERY,
    FILES,
    KIND,
    NEVER,
    SOURCE,
    SUBTASKS,
    UNDER_WAY,
    Kill,
    lines_of,
    sink_of,
    table_of,
)
from tests.crash.nursery import End, Nursery, nursery

LEASE: Final = timedelta(seconds=30)
TWO_PHASES: Final = 4 * EVERY
"""A place at which a checkpoint in two phases is begun."""
FAR: Final = 25_000
"""A worker dies within so many lines of code: it gets through a quarter of the files or less."""
Total = dict[str, tuple[int, int, int | None, int | None]]
Counted = dict[tuple[str, int], tuple[Counters, str | None]]
"""By operator and subtask: its counters, and its histogram of latencies."""


@dataclass
class Scene:
    """One job over the folder, the process that forks its workers, and what is known of the lineage so far."""

    store: JobStore
    clock: ManualClock
    nursery: Nursery
    path: Path
    effects: Path
    job: Job
    lineage: list[int] = field(default_factory=list)
    before: dict[int, Any] = field(default_factory=dict)
    """What each job of the lineage that ended without completing held when it ended."""
    checked: int = 0
    """How many runs were held against the checkpoints already."""

    def work(self, kill: Kill = NEVER, *, after: float | None = None) -> End:
        """Let a worker work, and hold what it did against the checkpoint that it started from."""
        start = self.newest()
        end = self.nursery.worker(self.path, self.effects, validation.instant(self.clock.now()), kill, after=after)
        self.check_the_run_that_started_from(start)
        return end

    def newest(self) -> int:
        """The place that the newest completed checkpoint of the job stands for."""
        points = self.store.checkpoints(self.job)
        return max((point.state for point in points if point.status == "completed"), default=0)

    def runs(self) -> list[list[tuple[str, int]]]:
        """What each run did outside the store, in order."""
        if not self.effects.exists():
            return []
        notes = [line.split() for line in self.effects.read_text().splitlines()]
        return [
            [(what, int(place)) for _, _, what, place in run] for _, run in groupby(notes, key=lambda line: line[:2])
        ]

    def check_the_run_that_started_from(self, start: int) -> None:
        runs = self.runs()
        new = runs[self.checked :]
        self.checked = len(runs)
        assert len(new) <= 1  # none, where it died before its first effect
        for run in new:
            places = [place for what, place in run if what == "file"]
            assert places == list(range(start, start + len(places)))
            acknowledged = max([start, *(place for what, place in run if what == "checkpoint")])
            reached = start + len(places)
            assert acknowledged <= self.newest() <= reached
            # A checkpoint may be there that was not acknowledged any more: the one that was being written.
            assert self.newest() - acknowledged <= EVERY

    def settle(self) -> Job:
        """Somebody notices that the worker is dead."""
        self.clock.advance(LEASE)
        self.store.sweep()
        assert all(point.status != "in_progress" for point in self.store.checkpoints(self.job))
        return self.store.get(self.job)

    def stop_and_restart(self) -> None:
        """The dead worker's job is stopped, and another goes on in its place."""
        self.store.stop(self.job, timeout=600)
        assert self.settle().state is State.STOPPED
        self.lineage.append(self.job.id)
        self.before[self.job.id] = everything_about(self.store, self.job.id)
        newest = self.newest()
        self.job = self.store.restart(self.job)
        assert self.newest() == newest

    def check_the_end(self) -> None:
        """The job is done: nothing was lost, nothing counted twice, and the jobs before it are what they were."""
        assert self.store.get(self.job).state is State.COMPLETED
        assert totals(self.store, self.job) == walked()
        assert self.store.metrics(self.job).totals == sum_of(walked())
        assert counted(self.store, self.job) == passed_by()
        done = {place for run in self.runs() for what, place in run if what == "file"}
        assert done == set(range(len(FILES)))
        assert {job_id: everything_about(self.store, job_id) for job_id in self.lineage} == self.before
        assert self.store.audit().findings == ()


def everything_about(store: JobStore, job_id: int) -> tuple[Any, ...]:
    return (
        store.get(job_id),
        store.events(job_id),
        store.checkpoints(job_id),
        store.progress(job_id),
        store.metrics(job_id),
    )


def totals(store: JobStore, job: Job) -> Total:
    return {
        name: (table.files_count, table.total_size_bytes, table.start_block, table.current_block)
        for name, table in store.progress(job).items()
    }


def walked() -> Total:
    """What a plain walk counts: files, bytes, and the first and the last line."""
    found: Total = {}
    for path in FILES:
        files, size, _, last = found.get(table_of(path), (0, 0, None, -1))
        lines, more = lines_of(path)
        assert last is not None
        found[table_of(path)] = (files + 1, size + more, 0, last + lines)
    return found


def sum_of(total: Total) -> Counters:
    """What the sources and the sinks of the job counted together: files, lines and bytes."""
    files, sizes, _, last = zip(*total.values(), strict=True)
    return Counters(records_in=sum(files), records_out=sum(line + 1 for line in last), bytes_in=sum(sizes))


def counted(store: JobStore, job: Job) -> Counted:
    return {
        (operator.operator_id, subtask.index): (subtask.counters, subtask.latency_json)
        for operator in store.metrics(job).operators
        for subtask in operator.subtasks
    }


def passed_by(end: int | None = None) -> Counted:
    """What a plain walk counts up to a place, by operator and subtask, and every latency once."""
    found: dict[tuple[str, int], Counters] = {}
    latencies = Histogram()
    for place, path in enumerate(FILES[:end]):
        lines, size = lines_of(path)
        latencies.add(lines)
        for key, more in (
            ((SOURCE, 0), Counters(records_in=1, bytes_in=size)),
            ((sink_of(path), place % SUBTASKS), Counters(records_out=lines)),
        ):
            found[key] = found.get(key, Counters()).plus(more)
    return {key: (counters, latencies.to_json() if key[0] == SOURCE else None) for key, counters in found.items()}


@pytest.fixture(scope="module")
def ours() -> Iterator[Nursery]:
    with nursery() as one:
        yield one


@pytest.fixture
def scene(tmp_path: Path, ours: Nursery) -> Iterator[Scene]:
    clock, path = ManualClock(), tmp_path / "jobs.db"
    with jobstate.open(path, clock=clock, durability="normal", keep_checkpoints=3) as store:
        job = store.submit(KIND, max_attempts=1000, retry=RetryPolicy(initial=0))
        yield Scene(store, clock, ours, path, tmp_path / "effects", job)


def test_there_are_hundreds_of_real_files_and_many_checkpoints(scene: Scene) -> None:
    assert len(FILES) > 250
    end = scene.work()
    assert not end.killed
    assert end.lines is not None
    assert end.lines > 4 * FAR
    scene.check_the_end()
    (run,) = scene.runs()
    assert sum(what == "checkpoint" for what, _ in run) >= len(FILES) // EVERY - 1


@pytest.mark.parametrize(
    ("point", "place", "start"),
    [
        ("before the effect", 0, 0),
        ("before the effect", EVERY + 10, EVERY),
        ("before counting", EVERY + 10, EVERY),
        ("half counted", EVERY + 10, EVERY),
        ("counted", EVERY + 10, EVERY),
        ("counted", 2 * EVERY - 1, EVERY),
        ("before the checkpoint", 3 * EVERY, 2 * EVERY),
        ("begun", TWO_PHASES, TWO_PHASES - EVERY),
        ("counted", TWO_PHASES + UNDER_WAY - 1, TWO_PHASES - EVERY),
        ("before completing", TWO_PHASES, TWO_PHASES - EVERY),
        ("completed", TWO_PHASES, TWO_PHASES),
        ("counted", len(FILES) - 1, (len(FILES) - 1) // EVERY * EVERY),
    ],
)
def test_killed_at_a_named_line_the_job_goes_on_from_the_last_completed_checkpoint(
    scene: Scene, point: str, place: int, start: int
) -> None:
    assert scene.work(Kill(point=point, place=place)).killed
    assert scene.settle().state is State.RECOVERING
    assert scene.newest() == start
    assert not scene.work().killed
    scene.check_the_end()


@pytest.mark.parametrize("start", [0, EVERY])
def test_a_job_that_is_killed_as_soon_as_it_is_claimed_again_holds_what_its_checkpoint_held(
    scene: Scene, start: int
) -> None:
    assert scene.work(Kill(point="counted", place=start + 22)).killed
    scene.settle()
    assert counted(scene.store, scene.job) != passed_by(start)
    assert scene.work(Kill(point="before the effect", place=start)).killed
    scene.settle()
    assert counted(scene.store, scene.job) == passed_by(start)
    assert sum(table.files_count for table in scene.store.progress(scene.job).values()) == start


def test_the_checkpoint_in_progress_at_the_kill_is_failed_and_the_one_before_it_is_used(scene: Scene) -> None:
    assert scene.work(Kill(point="before completing", place=TWO_PHASES)).killed
    scene.settle()
    newest, before, *_ = scene.store.checkpoints(scene.job)
    assert (newest.status, newest.state, newest.failure is not None) == ("failed", None, True)
    assert (before.status, before.state) == ("completed", TWO_PHASES - EVERY)
    assert not scene.work().killed
    first, second = scene.runs()
    again = {place for what, place in first if what == "file"} & {place for what, place in second if what == "file"}
    assert again == set(range(TWO_PHASES - EVERY, TWO_PHASES + UNDER_WAY))
    scene.check_the_end()


def test_a_killed_job_that_is_stopped_and_restarted_goes_on_in_its_successor(scene: Scene) -> None:
    assert scene.work(Kill(point="counted", place=3 * EVERY + 10)).killed
    old = scene.job
    scene.stop_and_restart()
    stopped = scene.store.get(old)
    assert stopped.stop is not None
    assert stopped.stop.outcome == "worker_lost"
    (copy,) = scene.store.checkpoints(scene.job)
    assert (copy.state, copy.progress) == (3 * EVERY, scene.store.checkpoints(old)[0].progress)
    assert not scene.work().killed
    assert scene.job.restarted_from == old.id
    scene.check_the_end()


def live(scene: Scene, chance: random.Random) -> int:
    """Kill worker after worker until the job is done, stop and restart it now and then; how many were killed."""
    kills = 0
    while scene.work(Kill(line=chance.randrange(1, FAR))).killed:
        kills += 1
        if scene.settle().state is State.COMPLETED:
            break  # it died between the completion and its own end
        if chance.random() < 0.2:
            scene.stop_and_restart()
    scene.check_the_end()
    return kills


SEEDS: Final = [
    0,
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 60)),
    pytest.param(None, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_lines_again_and_again_the_job_counts_every_block_once(scene: Scene, seed: int | None) -> None:
    seed = random.randrange(1_000_000) if seed is None else seed
    print(f"seed {seed}")
    assert live(scene, random.Random(seed)) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 20))
def test_killed_from_outside_at_random_moments_the_job_counts_every_block_once(scene: Scene, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    while scene.work(after=chance.uniform(0.005, 0.2)).killed:
        if scene.settle().state is State.COMPLETED:
            break
    scene.check_the_end()
