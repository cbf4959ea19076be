"""Heartbeats for many leases in one statement, against one statement for each."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import jobstate
from benchmarks.figures import seconds, spread
from jobstate.domain.event import Actor
from jobstate.ports.repository import ExpiryPolicy
from jobstate.system import chance


def measure(*, quick: bool) -> None:
    """Print the time of both, and the ratio."""
    leases = 50 if quick else 1000
    with tempfile.TemporaryDirectory() as folder, jobstate.open(Path(folder, "jobs.db"), durability="normal") as store:
        store.submit_many({"kind": "extract"} for _ in range(leases))
        runs = store.claim("w", limit=leases)
        repository = store.repository
        expiry = ExpiryPolicy(Actor("sweep:w"), chance)

        def together() -> None:
            now = jobstate.SystemClock().now()
            repository.leases.renew([run.lease for run in runs], 30_000_000, now, expiry)

        def one_by_one() -> None:
            for run in runs:
                run.heartbeat()

        rounds = [(seconds(together), seconds(one_by_one)) for _ in range(2 if quick else 9)]
    ratios = [ours / theirs for ours, theirs in rounds]
    ours, theirs = (statistics.median(times) * 1000 for times in zip(*rounds, strict=True))
    print(f"  {leases} leases  together {ours:.1f} ms   one by one {theirs:.1f} ms   ratio {spread(ratios)}")
