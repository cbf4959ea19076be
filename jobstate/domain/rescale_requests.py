"""Rescale requests in each state, and the answer of the worker."""

from __future__ import annotations

from typing import Final

from jobstate.domain.event import SWEEPER, Actor
from jobstate.domain.job_row import JobRow
from jobstate.domain.leases import check_holder, settle
from jobstate.domain.lifecycle import LEASED, LIVE, STOP_PENDING, State, Trigger, sources
from jobstate.domain.transitions import Decision, decided, move, note

RESCALABLE: Final = (LIVE - LEASED) | sources(Trigger.RESCALE) | {State.RESCALING}
"""States in which parallelism can change: no worker runs the job yet, or its worker can be asked, also once more."""


def rescale(job: JobRow, parallelism: int, chance: float, now: int, by: Actor) -> Decision:
    """Decide a rescale request, after settling an expired lease or a passed deadline of the job.

    A held job becomes Rescaling until its worker answers or releases it. A job that no worker holds gets the number at
    once. A job that has this parallelism already stays as it is.

    Args:
        parallelism: The number of tasks to run with.
        chance: A random number in 0..1, for settling.
    """
    settled = settle(job, now, Actor(f"{SWEEPER}{by.name}", by.reason), chance, unheld_too=False)
    return settled.then(_decide(settled.job, parallelism, now, by))


def resume(job: JobRow, token: int, parallelism: int, now: int, by: Actor) -> Decision:
    """Record the number of tasks that the worker runs. While a stop is pending, nothing changes. Repeated: no change.

    If another number was requested meanwhile, the job takes the number of the worker, with a note, and stays Rescaling
    until the worker answers that request too.
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
