"""Submit, claim, complete: a store that an observer watches which does nothing, against one that nobody observes."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Literal

import jobstate
from benchmarks.figures import seconds, spread


def measure(*, quick: bool) -> None:
    """Print jobs per second and the ratio, at both durabilities."""
    for durability, jobs in (("normal", 200 if quick else 3000), ("full", 50 if quick else 600)):
        rounds = [_round(durability, jobs) for _ in range(2 if quick else 7)]  # type: ignore[arg-type]
        observed, plain = ([jobs / times[side] for times in rounds] for side in range(2))
        ratios = [with_one / without for with_one, without in zip(observed, plain, strict=True)]
        print(
            f"  {durability:<6}  observed {statistics.median(observed):>8,.0f} jobs/s   unobserved "
            f"{statistics.median(plain):>8,.0f} jobs/s   ratio {spread(ratios)}"
        )


def _round(durability: Literal["normal", "full"], jobs: int) -> tuple[float, float]:
    observed, plain = (_timed(durability, jobs, observers) for observers in ([jobstate.Observer()], []))
    return observed, plain


def _timed(durability: Literal["normal", "full"], jobs: int, observers: list[jobstate.Observer]) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        jobstate.open(Path(folder, "jobs.db"), durability=durability, observers=observers) as store,
    ):
        _lives(store, 20)
        return seconds(lambda: _lives(store, jobs))


def _lives(store: jobstate.JobStore, jobs: int) -> None:
    for _ in range(jobs):
        store.submit("extract", {"dataset": "eth/mainnet"})
        (run,) = store.claim("w", kinds=["extract"])
        run.complete()
