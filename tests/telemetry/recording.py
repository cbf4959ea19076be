"""An observer that records its calls, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobstate import Claim, Heartbeat, Job, LeaseLoss, Observer, Sweep, Transition


class RecordingObserver(Observer):
    """Its calls in order; `take` returns and clears them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.transitions: list[Transition] = []
        self.claims: list[Claim] = []
        self.heartbeats: list[Heartbeat] = []
        self.losses: list[LeaseLoss] = []
        self.sweeps: list[Sweep] = []

    def take(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls

    def transition(self, transition: Transition) -> None:
        event = transition.event
        self.transitions.append(transition)
        self.calls.append(f"{event.job_id}: {event.from_state} {event.trigger} {event.to_state}")

    def claimed(self, claim: Claim) -> None:
        self.claims.append(claim)
        self.calls.append(f"{claim.job.id}: claimed by {claim.event.node}")

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        self.heartbeats.append(heartbeat)
        self.calls.append(f"heartbeat of {heartbeat.node_id} {[lease.job_id for lease in heartbeat.leases]}")

    def lease_lost(self, loss: LeaseLoss) -> None:
        self.losses.append(loss)
        self.calls.append(f"{loss.job.id}: lost")

    def swept(self, sweep: Sweep) -> None:
        self.sweeps.append(sweep)
        self.calls.append(f"{sweep.actor} {[*sweep.job_ids]}")

    @contextmanager
    def within(self, job: Job) -> Iterator[None]:
        self.calls.append(f"{job.id}: block begins")
        try:
            yield
        finally:
            self.calls.append(f"{job.id}: block ends")

    def closed(self) -> None:
        self.calls.append("closed")
