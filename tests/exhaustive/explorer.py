"""Explores every interleaving of two workers, an operator, a sweeper and the clock over one job.

The moves are the real decisions of `jobstate.domain`; the store is the most trivial one there is: it takes the job
that a decision returns. Whatever could go wrong must therefore go wrong in the decisions.

Theory of operation. A `World` is the job together with what each worker process believes. Breadth first, every actor
makes every move in every world; a broken promise raises `Violation` with the shortest way there. To keep the space
finite, a world is written in a normal form: the present is always `NOW` and ticks move the job's instants instead;
an instant that has passed is just one tick ago; tokens are the current one or a stale one; counters are as low as the
promises about them allow. What a job forgets by this (who wrote it, when it began) no decision reads.

What a process *should* believe is kept beside its token as `Standing`, from what happened to the lease and not from
the token, so that a token that fails to fence is found out. A process may repeat any verb at any time, which covers
a hung worker, a lost reply and a zombie; a crash makes it forget its token. Run `python -m tests.exhaustive.explorer`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final, NamedTuple

from jobstate.domain import leases, operator_actions, rescale_requests, stop_requests
from jobstate.domain.errors import JobNotTerminal, JobStateError, LeaseLost, TransitionNotAllowed
from jobstate.domain.event import Actor
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.invariants import faults
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import HELD, INITIAL, LIFECYCLE, STOP_PENDING, TERMINAL, State, Trigger
from jobstate.domain.stop import StopMode
from jobstate.domain.transitions import Decision
from tests.unit.building import NOW, SECOND, job
from tests.values import replace

TICK: Final = SECOND
LEASE: Final = 2 * TICK
TIMEOUT: Final = 3 * TICK
"""How long a patient stop may take."""
RETRY: Final = '{"initial": 1, "factor": 2, "cap": 2, "jitter": 0, "healthy_after": null, "fatal": []}'
TOKEN: Final = 10
"""The current token of every world in which the job was ever claimed; a stale one is one less."""
PATIENCE: Final = 12
"""Ticks after which nothing of what was set in motion above is still under way."""
MOST_WORLDS: Final = 200_000

ERROR: Final = Failure("it broke", FailureKind.ERROR)
FATAL: Final = Failure("it cannot work", FailureKind.FATAL)
SOMEONE: Final = Actor("someone", "because")


class Standing(StrEnum):
    """What a process truly is to the job, whatever it believes."""

    AWAY = "away"
    """Just started: knows no token."""
    HOLDER = "holder"
    ENDED = "ended"
    """Ended the job itself; its token stays current, so that its repeated call is recognised."""
    FENCED = "fenced"
    """Its lease was taken away or given back."""


class Process(NamedTuple):
    """One worker process."""

    standing: Standing = Standing.AWAY
    token: int = 0
    ended_with: str = ""
    """The verb by which it ended the job."""
    tasks: int = 0
    """With how many tasks the holder really runs, as long as the job may be rescaled."""


class World(NamedTuple):
    """A job, by its number among those met so far, and the processes around it. -1: the job was deleted."""

    job: int
    processes: tuple[Process, ...]


class Violation(AssertionError):
    """A promise was broken; `path` holds the moves that lead there."""

    def __init__(self, promise: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(promise, path)
        self.promise = promise
        self.path = path

    def __str__(self) -> str:
        return f"{self.promise}\n  " + " -> ".join(self.path)


class Outcome(NamedTuple):
    """What a move came to, the same in every world with this job."""

    refusal: type[JobStateError] | None
    wrote: bool
    """It wrote history, or prolonged the lease."""
    job: int
    token: int
    """The token of the job before it was brought into normal form."""


class Move(NamedTuple):
    """Something an actor may do. `process` is None for those who have no lease."""

    name: str
    process: int | None
    decide: Callable[[JobRow, int], Decision] | None = None
    """From the job and the token that the actor names; None for what is no decision about the job."""

    def __str__(self) -> str:
        return self.name if self.process is None else f"{'AB'[self.process]} {self.name}"


def _rescale(subject: JobRow, _: int) -> Decision:
    """An operator asks for the other one of two numbers of tasks: more would only be more of the same."""
    return rescale_requests.rescale(subject, _other(subject.rescale_to or subject.parallelism), 0.0, NOW, SOMEONE)


def _other(tasks: int) -> int:
    return 3 - tasks


def _resume(tasks: int) -> Callable[[JobRow, int], Decision]:
    return lambda subject, token: rescale_requests.resume(subject, token, tasks, NOW, SOMEONE)


VERBS: Final[dict[str, Callable[[JobRow, int], Decision]]] = {
    "renew": lambda subject, token: leases.renew(subject, token, NOW + LEASE, NOW),
    "complete": lambda subject, token: leases.complete(subject, token, NOW, SOMEONE),
    "fail": lambda subject, token: leases.fail(subject, token, ERROR, 0.0, NOW, SOMEONE),
    "fail fatally": lambda subject, token: leases.fail(subject, token, FATAL, 0.0, NOW, SOMEONE),
    "release": lambda subject, token: leases.release(subject, token, NOW, NOW, SOMEONE),
    "begin_stop": lambda subject, token: leases.begin_stop(subject, token, NOW, SOMEONE),
    "finish_stop": lambda subject, token: leases.finish_stop(subject, token, NOW, SOMEONE),
    **{f"resume with {tasks}": _resume(tasks) for tasks in (1, 2)},
}
ANSWERS: Final = {f"resume with {tasks}": tasks for tasks in (1, 2)}
"""What a worker says in answer to a request for another number of tasks: a holder only what is true."""
RESIZE: Final = "resize"
"""A worker reads the number of tasks that it is asked for, and runs with it from then on."""
REPEATABLE: Final = {"complete": "complete", "fail": "fail", "fail fatally": "fail", "finish_stop": "finish_stop"}
"""Verbs that succeed again in the state they themselves produced."""
ONLY_WHILE_STOPPING: Final = frozenset({"begin_stop", "finish_stop"})


def _stop(mode: StopMode, timeout: int) -> Callable[[JobRow, int], Decision]:
    return lambda subject, _: stop_requests.stop(subject, mode, NOW + timeout, 0.0, NOW, SOMEONE)


STOPS: Final = {
    "operator stop checkpoint": _stop(StopMode.CHECKPOINT, TIMEOUT),
    "operator stop checkpoint, hurried": _stop(StopMode.CHECKPOINT, TICK),
    "operator stop immediate": _stop(StopMode.IMMEDIATE, 2 * TICK),
    "operator stop force": _stop(StopMode.FORCE, TIMEOUT),
}
OPERATOR: Final[dict[str, Callable[[JobRow, int], Decision]]] = {
    **STOPS,
    "operator fail": lambda subject, _: leases.fail_by_operator(subject, "wrong cluster", NOW, SOMEONE),
    "operator schedule": lambda subject, _: leases.schedule(subject, NOW, SOMEONE),
    "operator rescale": _rescale,
}
SWEEP: Final = Move("sweep", None, lambda subject, _: leases.settle(subject, NOW, SOMEONE, 0.0))
TICK_ON: Final = Move("tick", None)
DELETE: Final = Move("operator delete", None)


@dataclass(frozen=True)
class Exploration:
    """What an exploration met."""

    worlds: int
    jobs: int
    moves: int
    """Every move in every world, refused ones too."""
    changes: int
    """Moves that led to another world."""
    edges: frozenset[tuple[State, str, State]]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.worlds} worlds over {self.jobs} versions of the job, {self.moves} moves, of which {self.changes} "
            f"changed the world; {len(self.edges)} edges of the lifecycle; {self.seconds:.1f} s"
        )


class Explorer:
    """One exploration, from every initial state.

    Args:
        names: The names under which the two processes claim; equal for two processes of one node.
        max_attempts: Each is explored.
    """

    def __init__(self, names: tuple[str, str] = ("A", "B"), max_attempts: Iterable[int] = (2, 3)) -> None:
        self.names = names
        self.starts = [
            self._normal(job(state=state, max_attempts=most, retry_json=RETRY))
            for state, most in product(INITIAL, max_attempts)
        ]
        self.jobs: list[JobRow] = []
        self.numbers: dict[JobRow, int] = {}
        self.outcomes: dict[tuple[int, Move, int], Outcome] = {}
        self.edges: set[tuple[State, str, State]] = set()
        self.worlds: list[World] = []
        self.found: dict[World, int] = {}
        self.came_from: list[tuple[int, Move | None]] = []
        self.changes: list[tuple[int, Move, int]] = []
        self.claims = [Move("claim", process, self._claim(name)) for process, name in enumerate(names)]
        self.crashes = [Move("crash", process) for process in range(len(names))]
        self.resizes = [Move(RESIZE, process) for process in range(len(names))]
        self.verbs = [Move(name, process, verb) for process in range(len(names)) for name, verb in VERBS.items()]
        self.operator = [DELETE, *(Move(name, None, decide) for name, decide in OPERATOR.items())]
        self.moves = [*self.claims, *self.crashes, *self.resizes, *self.verbs, *self.operator, SWEEP, TICK_ON]

    def run(self) -> Exploration:
        """Explore everything; Violation when a promise is broken."""
        began = time.perf_counter()
        moves = 0
        for start in self.starts:
            self._discover(World(self._number(start), (Process(), Process())), 0, None)
        todo = deque(range(len(self.worlds)))
        while todo:
            here = todo.popleft()
            for chosen in self.moves:
                try:
                    reached = self.step(self.worlds[here], chosen)
                except Violation as violation:
                    raise Violation(violation.promise, (*self._path(here), str(chosen))) from None
                if reached is None:
                    continue
                moves += 1
                if reached not in self.found:
                    todo.append(self._discover(reached, here, chosen))
                if self.found[reached] != here:
                    self.changes.append((here, chosen, self.found[reached]))
        self._check_that_it_ends()
        seconds = time.perf_counter() - began
        changes = len(self.changes)
        return Exploration(len(self.worlds), len(self.jobs), moves, changes, frozenset(self.edges), seconds)

    def step(self, world: World, chosen: Move) -> World | None:
        """The world after a move; None where the actor cannot make it."""
        if world.job < 0:
            return None
        actor = None if chosen.process is None else world.processes[chosen.process]
        if chosen is TICK_ON:
            return World(self._ticked(world.job), world.processes)
        if chosen is DELETE:
            return self._deleted(world)
        if chosen in self.resizes:
            return self._resized(world, chosen)
        if chosen.decide is None:
            return self._with(world, chosen.process, Process()) if actor and actor.token else None
        if chosen in self.claims:
            return self._claimed(world, chosen)
        if actor is not None and (
            not actor.token or (actor.tasks and ANSWERS.get(chosen.name, actor.tasks) != actor.tasks)
        ):
            return None
        outcome = self._outcome(world.job, chosen, actor.token if actor else 0)
        if actor is not None:
            self._check_verb(self.jobs[world.job], actor, chosen.name, outcome)
        return self._after(world, chosen, outcome)

    def _claim(self, name: str) -> Callable[[JobRow, int], Decision]:
        return lambda subject, _: leases.claim(subject, name, NOW + LEASE, NOW, SOMEONE)

    def _claimed(self, world: World, chosen: Move) -> World | None:
        """A process without a token takes the lease of a job that may be claimed."""
        process = chosen.process
        assert process is not None
        if world.processes[process].token or not leases.claimable(self.jobs[world.job], self.names[process], NOW):
            return None
        if any(other.standing is Standing.HOLDER for other in world.processes):
            raise Violation("a job that a worker holds was claimed by another")
        outcome = self._outcome(world.job, chosen, 0)
        if outcome.refusal:
            raise Violation("a claimable job could not be claimed")
        held = Process(Standing.HOLDER, TOKEN, tasks=self.jobs[outcome.job].parallelism)
        return self._with(self._after(world, chosen, outcome), process, held)

    def _resized(self, world: World, chosen: Move) -> World | None:
        """The holder, and nobody else, is told what the job is asked for, and obeys before it says so."""
        process, asked = chosen.process, self.jobs[world.job].rescale_to
        assert process is not None
        if world.processes[process].standing is not Standing.HOLDER or asked is None:
            return None
        return self._with(world, process, world.processes[process]._replace(tasks=asked))

    def _deleted(self, world: World) -> World:
        subject = self.jobs[world.job]
        try:
            operator_actions.check_deletable(subject)
        except JobNotTerminal:
            if subject.state in TERMINAL:
                raise Violation("a job that has ended could not be deleted") from None
            return world
        if subject.state not in TERMINAL:
            raise Violation("a live job was deleted")
        return World(-1, (Process(), Process()))

    def _check_verb(self, subject: JobRow, actor: Process, verb: str, outcome: Outcome) -> None:
        """What the verb of a worker may come to, by what that worker truly is to the job."""
        if actor.standing is Standing.FENCED and outcome.refusal is not LeaseLost:
            raise Violation(f"a fenced worker's {verb} was not answered with LeaseLost")
        if actor.standing is Standing.ENDED:
            if outcome.wrote:
                raise Violation(f"a worker's {verb} changed a job that it had ended")
            if REPEATABLE.get(verb) == actor.ended_with and outcome.refusal:
                raise Violation(f"a repeated {verb} did not succeed")
        if actor.standing is Standing.HOLDER:
            if outcome.refusal is LeaseLost:
                raise Violation(f"the holder's {verb} was answered with LeaseLost")
            if outcome.refusal and (subject.state in STOP_PENDING or verb not in ONLY_WHILE_STOPPING):
                raise Violation(f"the holder's {verb} was refused in {subject.state}")
            after = self.jobs[outcome.job]
            if verb in ANSWERS and subject.state is State.RESCALING:
                if after.state is State.RUNNING and subject.rescale_to != actor.tasks:
                    raise Violation("a request for tasks was lost: the worker answered an older one")
                if after.parallelism != actor.tasks:
                    raise Violation("a worker's answer did not tell the job with how many tasks it runs")

    def _after(self, world: World, chosen: Move, outcome: Outcome) -> World:
        """The world in which the store took the decision, and every process stands where it truly stands."""
        after = self.jobs[outcome.job]
        processes = tuple(
            self._stands(process, number == chosen.process, chosen.name, after, outcome.token)
            for number, process in enumerate(world.processes)
        )
        if sum(process.token == TOKEN for process in processes) > 1:
            raise Violation("two workers hold the current token")
        if after.state is State.RUNNING and any(process.tasks not in (0, after.parallelism) for process in processes):
            raise Violation("the job says another number of tasks than its worker runs with")
        return World(outcome.job, processes)

    @staticmethod
    def _stands(process: Process, acts: bool, verb: str, after: JobRow, token: int) -> Process:
        if not process.token:
            return process
        known = TOKEN if process.token == token else TOKEN - 1
        if process.standing is not Standing.HOLDER or after.worker_id is not None:
            return process._replace(token=known, tasks=process.tasks if after.state in HELD else 0)
        if acts and after.state in TERMINAL and verb != "renew":
            return Process(Standing.ENDED, known, REPEATABLE.get(verb, verb))
        return Process(Standing.FENCED, known)

    @staticmethod
    def _with(world: World, number: int | None, process: Process) -> World:
        changed = (process if n == number else other for n, other in enumerate(world.processes))
        return World(world.job, tuple(changed))

    def _outcome(self, number: int, chosen: Move, token: int) -> Outcome:
        """What the move comes to; decided and checked once for each version of the job."""
        known = self.outcomes.get((number, chosen, token))
        if known is None:
            known = self.outcomes[number, chosen, token] = self._decided(number, chosen, token)
        return known

    def _decided(self, number: int, chosen: Move, token: int) -> Outcome:
        subject = self.jobs[number]
        assert chosen.decide is not None
        try:
            decision = chosen.decide(subject, token)
        except (LeaseLost, TransitionNotAllowed) as refusal:
            if chosen is SWEEP or chosen.name in STOPS:
                raise Violation(f"{chosen} was refused in {subject.state}") from None
            return Outcome(type(refusal), False, number, subject.lease_token)
        for before, after in zip((subject, *decision.steps), decision.steps, strict=False):
            self._check_step(before, after)
        after = decision.job
        _promise(not decision.steps or decision.steps[-1] == after, "a decision's job is not its last step")
        _promise(not list(faults(after)), f"the row does not fit its state: {list(faults(after))}")
        _promise(after.failures <= after.max_attempts, "more runs were charged than max_attempts allows")
        if not decision.steps:
            unwritten = replace(subject, lease_expires_us=after.lease_expires_us)
            _promise(after == unwritten, "a change was made without history")
        if chosen.name in STOPS:
            _promise(after.state in STOP_PENDING | TERMINAL, "a stop was lost")
            _promise(after.is_terminal or chosen.name != "operator stop force", "a forced stop left the job alive")
            if subject.state in STOP_PENDING:
                _promise(after.stop_reason == subject.stop_reason, "the first reason of a stop was overwritten")
        return Outcome(None, after != subject, self._number(self._normal(after)), after.lease_token)

    def _check_step(self, before: JobRow, after: JobRow) -> None:
        """The laws of one step of history."""
        _promise(before.state not in TERMINAL, f"a job that was {before.state} changed to {after.state}")
        edge = (before.state, after.trigger, after.state)
        if before.state is not after.state:
            _promise(
                LIFECYCLE[before.state].get(Trigger(after.trigger)) is after.state,
                f"no edge {before.state} -{after.trigger}-> {after.state}",
            )
            self.edges.add(edge)
        if before.state in STOP_PENDING:
            _promise(after.state in STOP_PENDING | TERMINAL, f"a stop was forgotten: {before.state} to {after.state}")
        _promise(after.seq == before.seq + 1, "the history has a gap")
        _promise(after.attempt >= before.attempt, "the attempt fell")
        _promise(after.lease_token >= before.lease_token, "the token fell")
        _promise(not list(faults(after)), f"the row does not fit its state: {list(faults(after))}")

    def _ticked(self, number: int) -> int:
        subject = self.jobs[number]

        def earlier(instant: int | None) -> int | None:
            return None if instant is None else instant - TICK

        return self._number(
            self._normal(
                replace(
                    subject,
                    available_us=subject.available_us - TICK,
                    lease_expires_us=earlier(subject.lease_expires_us),
                    stop_deadline_us=earlier(subject.stop_deadline_us),
                )
            )
        )

    @staticmethod
    def _normal(subject: JobRow) -> JobRow:
        """The one version of the job that stands for all those between which no decision can tell."""

        def recent(instant: int | None) -> int | None:
            return None if instant is None else max(instant, NOW - TICK)

        def some(instant: int | None) -> int | None:
            return None if instant is None else NOW

        claims = subject.failures + (subject.worker_id is not None)
        return replace(
            subject,
            parallelism=subject.parallelism if subject.state in HELD else 1,  # what it was no longer matters
            attempt=max(claims, 1) if subject.attempt else 0,
            lease_token=TOKEN if subject.lease_token else 0,
            available_us=max(subject.available_us, NOW - TICK),
            lease_expires_us=recent(subject.lease_expires_us),
            stop_deadline_us=recent(subject.stop_deadline_us),
            claimed_us=some(subject.claimed_us),
            started_us=some(subject.started_us),
            finished_us=some(subject.finished_us),
            updated_us=NOW,
            failure_json=None if subject.failure_json is None else ERROR.to_json(),
            stop_reason=None if subject.stop_reason is None else "an earlier reason",
            seq=1,
            trigger="",
            actor="",
            reason=None,
            detail_json=None,
        )

    def _number(self, subject: JobRow) -> int:
        number = self.numbers.setdefault(subject, len(self.jobs))
        if number == len(self.jobs):
            self.jobs.append(subject)
        return number

    def _discover(self, world: World, source: int, by: Move | None) -> int:
        _promise(len(self.worlds) < MOST_WORLDS, f"there are more than {MOST_WORLDS} worlds")
        self.found[world] = len(self.worlds)
        self.worlds.append(world)
        self.came_from.append((source, by))
        return len(self.worlds) - 1

    def _path(self, world: int) -> Iterator[str]:
        moves: list[str] = []
        while (by := self.came_from[world][1]) is not None:
            moves.append(str(by))
            world = self.came_from[world][0]
        yield self.jobs[self.worlds[world].job].state
        yield from reversed(moves)

    def _check_that_it_ends(self) -> None:
        """From everywhere the job can end, whoever of those concerned is dead."""
        nobody = [SWEEP, TICK_ON]
        waiting = {State.CREATED, State.SCHEDULED, State.RECOVERING}
        ended = self._in(TERMINAL)
        self._check_reach(
            self._in(set(State) - waiting),
            ended | self._in({State.RECOVERING}),
            nobody,
            "with every worker dead, clock and sweeper alone do not bring the job on",
        )
        answers = [*self.resizes, *(verb for verb in self.verbs if verb.name in ANSWERS)]
        self._check_reach(
            self._in({State.RESCALING}, held=True),
            self._in({State.RUNNING}),
            answers,
            "a worker that reads what it is asked for and answers does not bring the job on",
        )
        self._check_reach(
            self._in(STOP_PENDING), ended, nobody, "with every worker dead, clock and sweeper do not end a stop"
        )
        self._check_reach(
            self._in(set(State)), ended, [*nobody, *self.operator], "operator, sweeper and clock cannot end the job"
        )
        self._check_reach(
            self._in(set(State) - {State.CREATED}),
            ended,
            [*nobody, *self.claims, *self.crashes],
            "a job whose worker dies at every claim does not end",
        )
        for number, world in enumerate(self.worlds):
            for process, standing in enumerate(world.processes):
                if standing.standing is Standing.HOLDER and self.jobs[world.job].state in STOP_PENDING:
                    self._check_heartbeats_end_it(number, process)

    def _in(self, states: Collection[State], *, held: bool = False) -> set[int]:
        """The worlds with the job in these states; those in which its holder lives."""
        return {
            number
            for number, world in enumerate(self.worlds)
            if world.job >= 0
            and self.jobs[world.job].state in states
            and (not held or any(process.standing is Standing.HOLDER for process in world.processes))
        }

    def _check_reach(self, sources: set[int], goals: set[int], moves: Collection[Move], promise: str) -> None:
        """From every source some goal can be reached by these moves alone."""
        allowed = set(moves)
        back: dict[int, list[int]] = {}
        for source, by, reached in self.changes:
            if by in allowed:
                back.setdefault(reached, []).append(source)
        able = set(goals)
        todo = list(goals)
        while todo:
            for source in back.get(todo.pop(), ()):
                if source not in able:
                    able.add(source)
                    todo.append(source)
        stuck = sources - able
        if stuck:
            raise Violation(promise, tuple(self._path(min(stuck))))

    def _check_heartbeats_end_it(self, number: int, process: int) -> None:
        """A stop ends although its holder is hung and only its heartbeats go on."""
        renew = next(verb for verb in self.verbs if verb.name == "renew" and verb.process == process)
        world = self.worlds[number]
        for _ in range(PATIENCE):
            for chosen in (renew, TICK_ON):
                reached = self.step(world, chosen)
                assert reached is not None
                if self.jobs[reached.job].is_terminal:
                    return
                world = reached
        raise Violation("a hung worker's heartbeats keep a stopping job alive", tuple(self._path(number)))


def _promise(kept: bool, promise: str) -> None:
    if not kept:
        raise Violation(promise)


if __name__ == "__main__":
    for named in (("A", "B"), ("A", "A")):
        print(f"workers {' and '.join(named)}: {Explorer(named).run()}")
