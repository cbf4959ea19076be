"""Submit, claim, complete, one job after the other: the library with guards and history against `sqlite3` by hand."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Literal

import jobstate
from benchmarks.by_hand import ByHand
from benchmarks.figures import seconds, spread


def measure(*, quick: bool) -> None:
    """Print jobs per second and the ratio, at both durabilities."""
    for durability, jobs in (("normal", 200 if quick else 4000), ("full", 50 if quick else 600)):
        rounds = [_round(durability, jobs) for _ in range(2 if quick else 7)]  # type: ignore[arg-type]
        library, by_hand = ([jobs / times[side] for times in rounds] for side in range(2))
        ratios = [ours / theirs for ours, theirs in zip(library, by_hand, strict=True)]
        print(
            f"  {durability:<6}  jobstate {statistics.median(library):>8,.0f} jobs/s   by hand, without guards "
            f"{statistics.median(by_hand):>8,.0f} jobs/s   ratio {spread(ratios)}"
        )


def _round(durability: Literal["normal", "full"], jobs: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        with jobstate.open(Path(folder, "library.db"), durability=durability) as store:
            _library(store, 20)
            ours = seconds(lambda: _library(store, jobs))
        hand = ByHand(Path(folder, "hand.db"), durability)
        _by_hand(hand, 20)
        theirs = seconds(lambda: _by_hand(hand, jobs))
        hand.close()
    return ours, theirs


def _library(store: jobstate.JobStore, jobs: int) -> None:
    for number in range(jobs):
        store.submit("extract", {"dataset": "eth/mainnet", "start_block": number})
        (run,) = store.claim("w", kinds=["extract"])
        assert run.job.descriptor["start_block"] == number
        run.complete()


def _by_hand(hand: ByHand, jobs: int) -> None:
    for number in range(jobs):
        hand.submit("extract", {"dataset": "eth/mainnet", "start_block": number})
        job_id, descriptor = hand.claim("extract")
        assert descriptor["start_block"] == number
        hand.complete(job_id)
