"""Generated lives: sequences of decisions by workers, operators and a sweeper, as they come, with time passing.

Nothing here filters out what makes no sense: a worker completes a job that waits, an operator schedules one that
ended. A refusal is one of the two errors that the decisions promise; anything else fails the test that walks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Final, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from jobstate.domain import leases, rescale_requests, stop_requests
from jobstate.domain.errors import LeaseLost, TransitionNotAllowed
from jobstate.domain.event import Actor
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.retry import RetryPolicy
from jobstate.domain.stop import StopMode
from jobstate.domain.transitions import Decision
from tests.unit.building import ERROR, FATAL, LEASE, NOW, SECOND, TIMEOUT, WORKER, Life, lives, one_per_state

law: Final = settings(deadline=None, max_examples=100)
"""How a law is held: no deadline, for the machine that runs it may be busy."""
law_of_lives: Final = settings(law, max_examples=250)
"""How a law of generated lives is held: there are many different ones."""


LONGEST: Final = 25
"""Wishes in one walk."""


class Command(NamedTuple):
    """One thing somebody tries."""

    verb: str
    wait: int
    """Microseconds that pass before it."""
    stale: bool
    """A worker's verb names an old token."""
    chance: float
    timeout: int
    reason: str | None


class Taken(NamedTuple):
    """What a command came to. `decision` is None where it was refused."""

    before: JobRow
    command: Command
    now: int
    decision: Decision | None
    refusal: LeaseLost | TransitionNotAllowed | None


Verb = Callable[[JobRow, int, int, Actor, Command], Decision]
_OUTDATED: Final = 0.75
"""A chance above this makes a worker answer another request for tasks than the last."""


def _resume(subject: JobRow, token: int, now: int, by: Actor, command: Command) -> Decision:
    """The worker answers what it is asked for, or what it was before."""
    asked = subject.rescale_to if command.chance < _OUTDATED else 5 - (subject.rescale_to or 0)
    return rescale_requests.resume(subject, token, asked or subject.parallelism, now, by)


def _rescale(subject: JobRow, _: int, now: int, by: Actor, command: Command) -> Decision:
    return rescale_requests.rescale(subject, 3 if subject.rescale_to == 2 else 2, command.chance, now, by)


def _stop(mode: StopMode) -> Verb:
    return lambda subject, _, now, by, command: stop_requests.stop(
        subject, mode, now + command.timeout, command.chance, now, by
    )


WORKER_VERBS: Final[dict[str, Verb]] = {
    "renew": lambda subject, token, now, by, command: leases.renew(subject, token, now + LEASE, now),
    "complete": lambda subject, token, now, by, command: leases.complete(subject, token, now, by),
    "fail": lambda subject, token, now, by, command: leases.fail(subject, token, ERROR, command.chance, now, by),
    "fail fatally": lambda subject, token, now, by, command: leases.fail(
        subject, token, FATAL, command.chance, now, by
    ),
    "release": lambda subject, token, now, by, command: leases.release(subject, token, now, now, by),
    "begin_stop": lambda subject, token, now, by, command: leases.begin_stop(subject, token, now, by),
    "finish_stop": lambda subject, token, now, by, command: leases.finish_stop(subject, token, now, by),
    "resume": _resume,
}
STOPS: Final[dict[str, Verb]] = {f"stop {mode}": _stop(mode) for mode in StopMode}
VERBS: Final[dict[str, Verb]] = {
    **WORKER_VERBS,
    **STOPS,
    "claim": lambda subject, _, now, by, command: leases.claim(subject, WORKER, now + LEASE, now, by),
    "settle": lambda subject, _, now, by, command: leases.settle(subject, now, by, command.chance),
    "operator fail": lambda subject, _, now, by, command: leases.fail_by_operator(subject, "wrong cluster", now, by),
    "schedule": lambda subject, _, now, by, command: leases.schedule(subject, now, by),
    "rescale": _rescale,
}

RETRIES: Final = (None, RetryPolicy(jitter=0), RetryPolicy(healthy_after=60), RetryPolicy(initial=0))


@cache
def _lives(most: int, retry: RetryPolicy | None) -> tuple[Life, ...]:
    stored = None if retry is None else json.dumps(retry.to_json())
    return tuple(lives(max_attempts=most, retry_json=stored).values())


@cache
def _accepted(state: State, ends: bool) -> tuple[str, ...]:
    """The verbs that end such a job, or those that it accepts and lives on; every verb where there is none."""
    subject = one_per_state()[state]
    plain = Command("", 0, False, 0.0, TIMEOUT, None)
    taken = [take(subject, plain._replace(verb=verb), NOW) for verb in VERBS]
    accepted = [each for each in taken if each.decision and each.decision.job.is_terminal == ends]
    return tuple(each.command.verb for each in accepted) or tuple(VERBS)


class RestartRequest(NamedTuple):
    """A command whose verb is chosen when the state of the job is known, or lives would be short and poor."""

    ends: bool | None
    """Whether a verb is wished that ends the job; None: any verb, be it refused."""
    number: int
    command: Command

    def chosen(self, state: State) -> Command:
        """The command for a job in this state."""
        verbs = tuple(VERBS) if self.ends is None else _accepted(state, self.ends)
        return self.command._replace(verb=verbs[self.number % len(verbs)])


def wished_from(seed: int, length: int = LONGEST) -> tuple[Life, list[RestartRequest]]:
    """A life so far, and so many wishes."""
    chance = Random(seed)
    life = chance.choice(_lives(chance.randint(1, 5), chance.choice(RETRIES)))
    wished = [
        RestartRequest(
            ends=chance.choice([False, False, False, False, None, None, True]),
            number=chance.randrange(10_000),
            command=Command(
                verb="",
                wait=chance.choice([0, 0, 0, 0, 1, SECOND, LEASE, TIMEOUT]),
                stale=chance.random() < 0.2,
                chance=chance.random(),
                timeout=chance.choice([SECOND, LEASE, TIMEOUT, 2 * TIMEOUT]),
                reason=chance.choice([None, "wrong input", "hurry up"]),
            ),
        )
        for _ in range(LONGEST)
    ]
    return life, wished[:length]


walks = st.builds(wished_from, st.integers(0, 2**64 - 1), st.integers(0, LONGEST))
"""A life so far, and what is wished of the job from there on.

Drawn from a seed: drawn one by one, the wishes repeat each other too much, and half of the edges are never walked.
The length is drawn apart, so that a counterexample still shrinks to the shortest walk.
"""


def take(subject: JobRow, command: Command, now: int) -> Taken:
    """One command on one job."""
    token = subject.lease_token - command.stale
    try:
        decision = VERBS[command.verb](subject, token, now, Actor(f"by:{command.verb}", command.reason), command)
    except (LeaseLost, TransitionNotAllowed) as refusal:
        return Taken(subject, command, now, None, refusal)
    return Taken(subject, command, now, decision, None)


def walk(life: Life, wished: Sequence[RestartRequest]) -> list[Taken]:
    """The wishes one after the other; a refused one leaves the job as it was."""
    now = NOW
    subject = life.job
    taken: list[Taken] = []
    for wish in wished:
        now += wish.command.wait
        taken.append(take(subject, wish.chosen(subject.state), now))
        decision = taken[-1].decision
        subject = subject if decision is None else decision.job
    return taken


def written(life: Life, taken: Sequence[Taken]) -> list[JobRow]:
    """Every version of the job that was written up to the end of a walk, the submission first."""
    return [*life.versions, *(step for each in taken if each.decision for step in each.decision.steps)]


def steps(taken: Sequence[Taken]) -> list[tuple[Taken, JobRow, JobRow]]:
    """Every step of a walk with the version before it."""
    found: list[tuple[Taken, JobRow, JobRow]] = []
    for each in taken:
        before = each.before
        for after in each.decision.steps if each.decision else ():
            found.append((each, before, after))
            before = after
    return found
