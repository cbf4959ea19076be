"""What a claim takes while four workers write progress, metrics and logs 100 times a second, against a quiet store."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final, Literal

import jobstate
from benchmarks.figures import seconds, spread

REPORTERS: Final = 4
PER_SECOND: Final = 100
_PAUSE: Final = 0.005


def measure(*, quick: bool) -> None:
    """Print the median and the 99th percentile of a claim, quiet and busy in turn, and their ratios."""
    for durability in ("normal", "full"):
        _measure(durability, rounds=2 if quick else 7, claims=20 if quick else 400)


def _measure(durability: Literal["normal", "full"], rounds: int, claims: int) -> None:
    spawning = multiprocessing.get_context("spawn")
    busy, ended = spawning.Event(), spawning.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.db")
        with jobstate.open(path, durability=durability) as store:
            store.submit_many({"kind": "report"} for _ in range(REPORTERS))
            store.submit_many({"kind": "extract"} for _ in range(2 * rounds * claims))
            reporters = [
                spawning.Process(target=_report, args=(path, durability, f"reporter-{number}", busy, ended))
                for number in range(REPORTERS)
            ]
            for reporter in reporters:
                reporter.start()
            while sum(job.state is jobstate.State.RUNNING for job in store.iterate(kind="report")) < REPORTERS:
                time.sleep(0.05)
            medians, tails, quiet_times, busy_times = [], [], [], []
            for _ in range(rounds):
                quiet = _claims(store, claims)
                busy.set()
                time.sleep(1.0)  # until each has begun to write
                loaded = _claims(store, claims)
                busy.clear()
                time.sleep(1.0)  # until the last of it is written
                medians.append(statistics.median(loaded) / statistics.median(quiet))
                tails.append(_p99(loaded) / _p99(quiet))
                quiet_times += quiet
                busy_times += loaded
            ended.set()
            for reporter in reporters:
                reporter.join()
            written = sum(store.logs(job, limit=1).total for job in store.iterate("all", kind="report"))
    print(
        f"  {durability:7} claim: median {statistics.median(quiet_times) * 1000:.2f} ms quiet, "
        f"{statistics.median(busy_times) * 1000:.2f} ms busy, ratio {spread(medians)}; "
        f"p99 {_p99(quiet_times) * 1000:.2f} ms, {_p99(busy_times) * 1000:.2f} ms, "
        f"ratio {_p99(busy_times) / _p99(quiet_times):.2f}, by round {spread(tails)}; {written} entries written"
    )


def _claims(store: jobstate.JobStore, number: int) -> list[float]:
    """How long so many claims took, one after the other, with a pause after each."""
    taken = []
    for _ in range(number):
        taken.append(seconds(lambda: store.claim("measured", kinds=["extract"], lease=3600)))
        time.sleep(_PAUSE)
    return taken


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]


def _report(path: Path, durability: Literal["normal", "full"], name: str, busy: Event, ended: Event) -> None:
    with (
        jobstate.open(path, durability=durability) as store,
        store.worker(name, kinds=["report"], until_idle=True) as worker,
    ):
        for run in worker:
            with run:
                _work(run, busy, ended)


def _work(run: jobstate.Run, busy: Event, ended: Event) -> None:
    block = 0
    while not ended.is_set():
        if not busy.wait(timeout=0.05):
            continue
        run.add_range("blocks", block, block, files=1, size_bytes=4096)
        run.metrics("source_1", kind="source", records_in=1, bytes_in=4096, latency_ms=1.5)
        run.log.info("block %d", block, operator_id="source_1", task_index=0)
        block += 1
        time.sleep(1 / PER_SECOND)
