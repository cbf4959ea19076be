"""`Observer`, and what its methods receive.

The process that commits a change calls its observers for it: once, in the order of the commits. There is no call for
what a transaction undid, nor for a job that was removed by the transaction that submitted it, which leaves no history;
and none for changes of other processes, which `JobStore.watch` has too.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.job_row import Lease


@dataclass(frozen=True, slots=True)
class Transition:
    """A job changed its state, or was submitted (then `event.from_state` is None).

    Attributes:
        event: The entry of the history: from, to, trigger, actor, reason, node, attempt, token, time, and details.
        job: The job at the end of the transaction, which may have changed it again after this entry.
    """

    event: Event
    job: Job


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker of this process took the lease on a job. `transition` to Running is called just before.

    Attributes:
        event: The entry of the history; `token` is that of the lease, `node` the worker.
        job: The job at the end of the transaction.
    """

    event: Event
    job: Job


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker reported that it is alive, and renewed the leases that it still holds.

    Attributes:
        node_id: The worker.
        leases: The renewed leases; empty for an idle worker.
        at_us: When, in microseconds since 1970 UTC.
        until_us: When the leases expire now, likewise.
    """

    node_id: str
    leases: tuple[Lease, ...]
    at_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class LeaseLoss:
    """A run noticed that its lease is lost; nothing that it does from here on is kept. Once per run.

    Attributes:
        job: The job as the run claimed it, with `attempt`, `lease_token` and `worker_id`.
        at_us: When the run noticed, in microseconds since 1970 UTC.
    """

    job: Job
    at_us: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Overdue jobs were settled: expired leases, passed stop deadlines, stops of jobs without a worker.

    Attributes:
        actor: The actor in the history: `sweep:` and a name.
        job_ids: The settled jobs, each once; empty when `JobStore.sweep` found nothing overdue.
    """

    actor: str
    job_ids: tuple[int, ...]


class Observer:
    """Override the methods that you need, and pass an instance to `jobstate.open(…, observers=[…])`.

    A method is called after the commit and before the call that committed returns, on the same thread; that may be the
    thread of a handler or of the heartbeats. One thread calls at a time, so be quick. In a transaction of the caller's
    own the calls come when the caller commits. An exception of an observer is logged on `jobstate.observers`, and
    harms neither the job nor other observers. An observer may change the store; the calls for that come afterwards.
    But it must not wait for another thread that changes the store, because that thread waits for this observer.
    """

    def transition(self, transition: Transition) -> None:
        """A job was submitted, or changed its state. Notes in the history change no state and cause no call."""

    def claimed(self, claim: Claim) -> None:
        """A run began."""

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """A worker renewed its leases. Called also when a savepoint of the caller's own undid just that."""

    def lease_lost(self, loss: LeaseLoss) -> None:
        """A run of this process lost its lease: a heartbeat noticed, or a write was refused."""

    def swept(self, sweep: Sweep) -> None:
        """Overdue jobs were settled by a sweep, or by a claim, a heartbeat or another call that found them."""

    def within(self, job: Job) -> AbstractContextManager[object]:
        """A context manager around the block of a run, `with run:`; entered and left on the thread of its handler.

        Unlike the other methods, several threads may call this one at once. The result of `__exit__` is ignored.
        """
        return nullcontext()

    def closed(self) -> None:
        """The store was closed; no more calls come."""
