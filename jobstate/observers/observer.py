"""What an observer is told: one call for each transition, claim, heartbeat, lost lease and sweep of this process.

An observer is told of what was committed, in the order of the commits, once, by the process that did it. It is not told
what a transaction undid, nor what was removed in the transaction that made it, which has no history; and not what
another process did, which `JobStore.watch` has too.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.job_row import Lease


@dataclass(frozen=True, slots=True)
class Transition:
    """A job came to another state, or was submitted (`event.from_state` is None then).

    Attributes:
        event: The entry of the history: from, to, trigger, actor, reason, node, attempt, token, when, and details.
        job: The job as the transaction left it, which may have taken it further than this entry.
    """

    event: Event
    job: Job


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker of this process took the lease on a job. The transition to Running is told just before.

    Attributes:
        event: The entry of the history; `token` is that of the lease, `node` the worker.
        job: The job as the transaction left it.
    """

    event: Event
    job: Job


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker said that it lives, and prolonged the leases that it still holds.

    Attributes:
        node_id: The worker.
        leases: Those that were prolonged; one that is idle has none.
        at_us: When, in microseconds since 1970 UTC.
        until_us: When they run out now, likewise.
    """

    node_id: str
    leases: tuple[Lease, ...]
    at_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class LeaseLoss:
    """A run found that its lease is gone; whatever it still does is for nothing. Told once a run.

    Attributes:
        job: The job as the run claimed it, with `attempt`, `lease_token` and `worker_id`.
        at_us: When it was noticed, in microseconds since 1970 UTC.
    """

    job: Job
    at_us: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Overdue jobs were settled: lost leases, passed deadlines, stops that wait for nobody.

    Attributes:
        actor: Who did it, as the history has it: `sweep:` and a name.
        job_ids: The jobs that were settled, each once; none, where `JobStore.sweep` found nothing overdue.
    """

    actor: str
    job_ids: tuple[int, ...]


class Observer:
    """Override what you want to be told, and give an instance to `jobstate.open(…, observers=[…])`.

    The calls come after the commit, one at a time, before the call that caused them returns, on the thread that made
    it: those of handlers and the one that heartbeats among them. So they should be quick. In a transaction of the
    caller's own they come when the caller commits. What an observer raises is logged on `jobstate.observers`, and
    harms neither the job nor other observers. It may call the store, and what it changes there is told afterwards;
    but it must not wait for another thread that changes the store, which in turn waits for it.
    """

    def transition(self, transition: Transition) -> None:
        """A job was submitted, or came to another state. Notes, which change no state, are not told."""

    def claimed(self, claim: Claim) -> None:
        """A run begins."""

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """A worker prolonged its leases. Told also where only a savepoint of the caller's own undid that."""

    def lease_lost(self, loss: LeaseLoss) -> None:
        """A run of this process found that its lease is gone, by a heartbeat or because a write was refused."""

    def swept(self, sweep: Sweep) -> None:
        """A sweep, also one on the way of a claim, a heartbeat or another call that met overdue jobs."""

    def within(self, job: Job) -> AbstractContextManager[object]:
        """What the block of a run, `with run:`, is to be within; entered and left on the thread of its handler.

        Unlike the other calls, those of several threads may come at once. What `__exit__` returns is not used.
        """
        return nullcontext()

    def closed(self) -> None:
        """The store was closed: nothing more will be told."""
