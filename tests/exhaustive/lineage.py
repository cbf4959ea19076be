"""Explores every interleaving over a job and the one that restarts it: stop, rescale, recovery and restart together.

A `Lineage` is two worlds of `tests.exhaustive.explorer`, one for each job, which keeps every promise about a single job
held here too. A process stands to at most one of the two: it has to forget the old job, as by a crash, before it claims
the new one. Any time an operator may ask for a restart; what the store does then is done by the most trivial one there
is, with the real decisions of `jobstate.domain`. A second restart once the first has ended would begin the same again,
so it is only asked whether it is allowed.

To keep the space finite, a job that was restarted is written in a shorter form: what no decision about a job that has
ended reads is left out, and all of it once no process remembers the job. `python -m tests.exhaustive.lineage` prints
the figures.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from jobstate.domain import leases, restart_requests
from jobstate.domain.checkpoints import Checkpoint, CheckpointState
from jobstate.domain.errors import LeaseLost, RestartNotAllowed
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import LIVE, TERMINAL, State
from jobstate.domain.restart_requests import RestartRequest
from jobstate.domain.stop import StopMode, StopOutcome
from tests.exhaustive.explorer import (
    MOST_WORLDS,
    OPERATOR,
    RETRY,
    SOMEONE,
    SWEEP,
    TICK,
    TICK_ON,
    VERBS,
    Explorer,
    Move,
    Process,
    Standing,
    Violation,
    World,
)
from tests.unit.building import NOW, job

OLD_ID: Final = 7
NEW_ID: Final = 8
AWAY: Final = (Process(), Process())


class Point(StrEnum):
    """What there is of checkpoints of the old job."""

    NONE = "none"
    IN_PROGRESS = "in progress"
    COMPLETED = "completed"


class Lineage(NamedTuple):
    """The old job with the processes that know it, and the same of the one that restarts it, once there is one."""

    old: World
    point: Point = Point.NONE
    new: World | None = None
    start: Point = Point.NONE
    """What the new job started from."""


class Bounds(NamedTuple):
    """What may be done to either job, by the names of the moves. Claims, crashes, sweeps and ticks always may."""

    old: frozenset[str]
    new: frozenset[str]


EVERYTHING: Final = frozenset({*VERBS, *OPERATOR}) - {"operator schedule"}
EVERY_DAY: Final = Bounds(
    EVERYTHING - {"fail fatally", "operator stop immediate", "operator stop checkpoint, hurried"},
    frozenset({"renew", "complete", "fail", "release", "operator stop force"}),
)
ALL: Final = Bounds(EVERYTHING, EVERYTHING)


@dataclass(frozen=True)
class Found:
    """What an exploration met."""

    lineages: int
    restarted: int
    """Lineages with a new job."""
    moves: int
    starts: frozenset[Point]
    before: frozenset[str]
    """The triggers that the old job went through before it was restarted."""
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.lineages} lineages, of which {self.restarted} with a restart; {self.moves} moves; "
            f"{self.seconds:.1f} s"
        )


class LineageExplorer:
    """One exploration, from a job that is in the queue."""

    def __init__(self, bounds: Bounds = EVERY_DAY, max_attempts: int = 2) -> None:
        self.jobs = Explorer(max_attempts=())
        self.bounds = bounds
        self.start = Lineage(World(self._number(job(max_attempts=max_attempts, retry_json=RETRY)), AWAY))
        self.forgotten = self._number(self._ended(State.STOPPED))
        self.came_from: dict[Lineage, tuple[Lineage, str] | None] = {}
        self.later: dict[int, int] = {}
        """The versions of a job, by number, a tick later."""
        self.shorter: dict[int, int] = {}
        """The versions of the old job, by number, as they are remembered once it was restarted."""
        self.settle = Move("settle", None, lambda found, _: leases.settle(found, NOW, SOMEONE, 0.0, unheld_too=False))
        always = [*self.jobs.claims, *self.jobs.crashes, *self.jobs.resizes, SWEEP]
        acts = [*self.jobs.verbs, *self.jobs.operator]
        self.old_moves = [*always, *(move for move in acts if move.name in bounds.old)]
        self.new_moves = [*always, *(move for move in acts if move.name in bounds.new)]

    def run(self) -> Found:
        """Explore everything; Violation when a promise is broken."""
        began = time.perf_counter()
        moves = 0
        self.came_from[self.start] = None
        todo = deque([self.start])
        while todo:
            here = todo.popleft()
            for name, reached in self._reached(here):
                moves += 1
                if reached not in self.came_from:
                    if len(self.came_from) >= 10 * MOST_WORLDS:
                        raise Violation("there are too many lineages")
                    self.came_from[reached] = (here, name)
                    todo.append(reached)
        restarted = [lineage for lineage in self.came_from if lineage.new is not None]
        before = frozenset(trigger for _, trigger, _ in self.jobs.edges)
        starts = frozenset(lineage.start for lineage in restarted)
        return Found(len(self.came_from), len(restarted), moves, starts, before, time.perf_counter() - began)

    def _reached(self, here: Lineage) -> list[tuple[str, Lineage]]:
        """Every move that somebody can make, and where it leads."""
        found: list[tuple[str, Lineage | None]] = []
        name = ""
        try:
            for move in self.old_moves:
                name = f"old: {move}"
                found.append((name, self._old(here, move)))
            for process in range(len(AWAY)):
                for verb, wanted in (
                    ("begins", Point.IN_PROGRESS),
                    ("completes", Point.COMPLETED),
                ):
                    name = f"old: {'AB'[process]} {verb} a checkpoint"
                    found.append((name, self._checkpoint(here, process, wanted)))
            for move in self.new_moves:
                name = f"new: {move}"
                found.append((name, self._new(here, move)))
            for name, step in (("tick", self._tick), ("operator restart", self._restart)):
                found.append((name, step(here)))
        except Violation as violation:
            raise Violation(violation.promise, (*self._path(here), name)) from None
        return [(name, reached) for name, reached in found if reached is not None and reached != here]

    def _old(self, here: Lineage, move: Move) -> Lineage | None:
        reached = self.jobs.step(here.old, move)
        if reached is None:
            return None
        if here.new is None:
            return here._replace(old=reached, point=self._left(here, reached))
        if reached.job != here.old.job:
            raise Violation("a job changed after it was restarted")
        return here._replace(old=self._remembered(reached))

    def _new(self, here: Lineage, move: Move) -> Lineage | None:
        if here.new is None:
            return None
        if move in self.jobs.claims and here.old.processes[move.process or 0].token:
            return None
        reached = self.jobs.step(here.new, move)
        return None if reached is None else here._replace(new=reached)

    def _tick(self, here: Lineage) -> Lineage:
        return here._replace(old=self._ticked(here.old), new=here.new and self._ticked(here.new))

    def _ticked(self, world: World) -> World:
        if world.job not in self.later:
            ticked = self.jobs.step(world, TICK_ON)
            assert ticked is not None
            self.later[world.job] = ticked.job
        return world._replace(job=self.later[world.job])

    def _checkpoint(self, here: Lineage, process: int, wanted: Point) -> Lineage | None:
        """A worker begins a checkpoint, or completes the one that it believes to be under way."""
        actor = here.old.processes[process]
        if not actor.token or here.point is Point.COMPLETED:
            return None
        try:
            leases.check_lease(self._job(here.old), actor.token)
        except LeaseLost:
            if actor.standing is Standing.HOLDER:
                raise Violation("a holder could not take a checkpoint") from None
            return None
        if actor.standing is not Standing.HOLDER:
            raise Violation("a worker without a lease took a checkpoint")
        if wanted is Point.COMPLETED and here.point is Point.NONE:
            return None
        return here._replace(point=wanted)

    def _left(self, here: Lineage, after: World) -> Point:
        """What is left of the checkpoints: the one in progress fails with the lease of whoever began it."""
        holders = [[process.standing is Standing.HOLDER for process in old.processes] for old in (here.old, after)]
        return here.point if here.point is not Point.IN_PROGRESS or holders[0] == holders[1] else Point.NONE

    def _restart(self, here: Lineage) -> Lineage:
        """The operator asks for a restart; the lineage as it was, where it is refused or begins the same again."""
        settled = self.jobs.step(here.old, self.settle)
        assert settled is not None
        subject = self._job(settled)
        successor = None if here.new is None else self._job(here.new)
        lives = successor is not None and successor.state in LIVE
        try:
            restart_requests.check_restartable(subject, NEW_ID if lives else None)
        except RestartNotAllowed:
            if subject.state in {State.FAILED, State.STOPPED} and not lives:
                raise Violation("a restart was refused that nothing speaks against") from None
            return here
        if subject.state not in TERMINAL:
            raise Violation("a live job was restarted")
        if subject.state is State.COMPLETED:
            raise Violation("a job that completed was restarted")
        if lives:
            raise Violation("two live jobs restart the same one")
        self._check_that_only_completed_checkpoints_are_restored(subject)
        if successor is not None:
            return here
        wanted = restart_requests.successor(subject, RestartRequest())
        born = job(
            id=NEW_ID,
            state=wanted.state,
            max_attempts=wanted.max_attempts,
            retry_json=wanted.retry_json,
            parallelism=wanted.parallelism,
            restarted_from=subject.id,
        )
        new = World(self._number(born), AWAY)
        return Lineage(self._remembered(settled), new=new, start=self._left(here, settled))

    @staticmethod
    def _check_that_only_completed_checkpoints_are_restored(subject: JobRow) -> None:
        for status in CheckpointState:
            try:
                restart_requests.check_restorable(subject, _checkpoint(status, 0))
            except RestartNotAllowed:
                if status is CheckpointState.COMPLETED:
                    raise Violation("a completed checkpoint could not be restored") from None
            else:
                if status is not CheckpointState.COMPLETED:
                    raise Violation("a restart began from a checkpoint that was not completed")

    def _remembered(self, old: World) -> World:
        """The restarted job as far as any process remembers it."""
        if not any(process.token for process in old.processes):
            return World(self.forgotten, AWAY)
        if old.job not in self.shorter:
            known = self._job(old)
            self.shorter[old.job] = self._number(self._ended(known.state, known))
        return World(self.shorter[old.job], old.processes)

    @staticmethod
    def _ended(state: State, known: JobRow | None = None) -> JobRow:
        """A job that has ended, with what a decision may still read of it, and nothing else."""
        stopped = state is State.STOPPED
        failed = known is not None and known.stop_outcome is StopOutcome.WORKER_FAILED
        return job(
            id=OLD_ID,
            state=state,
            lease_token=0 if known is None else known.lease_token,
            finished_us=NOW,
            available_us=NOW - TICK,
            retry_json=RETRY,
            failure_json=None if stopped or known is None else known.failure_json,
            stop_mode=StopMode.CHECKPOINT if stopped else None,
            stop_outcome=(StopOutcome.WORKER_FAILED if failed else StopOutcome.FORCED) if stopped else None,
        )

    def _job(self, world: World) -> JobRow:
        return self.jobs.jobs[world.job]

    def _number(self, subject: JobRow) -> int:
        return self.jobs._number(self.jobs._normal(subject))

    def _path(self, here: Lineage) -> tuple[str, ...]:
        moves: list[str] = []
        while (by := self.came_from[here]) is not None:
            here = by[0]
            moves.append(by[1])
        return ("Scheduled", *reversed(moves))


def _checkpoint(status: CheckpointState, token: int) -> Checkpoint:
    return Checkpoint(1, OLD_ID, 1, status, token, NOW, None, 0, None, None, None, None, None, '{"progress": {}}')


if __name__ == "__main__":
    for named, bounds in (("every day", EVERY_DAY), ("everything", ALL)):
        print(f"{named}: {LineageExplorer(bounds).run()}")
