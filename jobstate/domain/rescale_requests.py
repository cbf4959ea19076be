"""What a request for another parallelism does in each state, and how the worker answers it."""

from __future__ import annotations

from typing import Final

from jobstate.domain.event import SWEEPER, Actor
from jobstate.domain.job_row import JobRow
from jobstate.domain.leases import check_holder, settle
from jobstate.domain.lifecycle import LEASED, LIVE, STOP_PENDING, State, Trigger, sources
from jobstate.domain.transitions import Decision, decided, move, note

RESCALABLE: Final = (LIVE - LEASED) | sources(Trigger.RESCALE) | {State.RESCALING}
"""Nobody runs it and it may still run, or a worker can be asked; one that was asked can be asked for another number."""


def rescale(job: JobRow, parallelism: int, chance: float, now: int, by: Actor) -> Decision:
    """Decide a request for another parallelism, after settling a lost lease or a passed deadline of the job in hand.

    A worker that holds the job is asked; it becomes Rescaling until the worker answers, or hands the job back. One that
    nobody runs just gets the number. One that is asked for what it has stays as it is.

    Args:
        parallelism: How many tasks the job is to run with.
        chance: A random number in 0..1, for settling.
    """
    settled = settle(job, now, Actor(f"{SWEEPER}{by.name}", by.reason), chance, unheld_too=False)
    return settled.then(_decide(settled.job, parallelism, now, by))


def resume(job: JobRow, token: int, parallelism: int, now: int, by: Actor) -> Decision:
    """The worker says with how many tasks it runs. While a stop is pending, nothing changes. Repeated: no change.

    Where by now it is asked for another number, the job takes the one that the worker has, with a note, and stays
    Rescaling until the worker answers that too.
    """
    check_holder(job, token, Trigger.RESUME)
    if job.state in STOP_PENDING or job.state is State.RUNNING:
        return Decision(job)
    if parallelism == job.rescale_to:
        return decided(move(job, Trigger.RESUME, now, by))
    if parallelism == job.parallelism:
        return Decision(job)
    detail = {"parallelism": parallelism}
    return decided(note(job, Trigger.RESUME.value, now, by, detail=detail, parallelism=parallelism))


def _decide(job: JobRow, parallelism: int, now: int, by: Actor) -> Decision:
    detail = {"parallelism": parallelism}
    if job.state in LIVE - LEASED:
        if parallelism == job.parallelism:
            return Decision(job)
        return decided(note(job, Trigger.RESCALE.value, now, by, detail=detail, parallelism=parallelism))
    if job.state is State.RESCALING:
        if parallelism == job.rescale_to:
            return Decision(job)
        return decided(note(job, Trigger.RESCALE.value, now, by, detail=detail, rescale_to=parallelism))
    asked = move(job, Trigger.RESCALE, now, by, detail=detail, rescale_to=parallelism)
    return Decision(job) if parallelism == job.parallelism else decided(asked)
