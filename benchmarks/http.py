"""The server among very many ended jobs: listing and pruning them over HTTP, and a worker that claims meanwhile."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import urllib3

import jobstate
from benchmarks import crowd
from benchmarks.figures import seconds, spread
from jobstate.domain.event import Actor
from jobstate.domain.lifecycle import State
from jobstate.store.prune import ATOMIC_PRUNE, PRUNE_BATCH

_SERVE: Final = "import sys; from jobstate.http.server import serve; serve(sys.argv[1], port=0)"
_PAGE: Final = 1000
_PAGES: Final = 200


def measure(*, quick: bool) -> None:
    """Print what a page and a prune take, the memory of the server, and what a claim costs meanwhile."""
    ended = 20_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.db")
        crowd.finished(path, ended, history=True)
        with jobstate.open(path, durability="normal") as store, _server(path) as (process, url):
            began = _resident(process)
            pages = _list(url)
            print(f"  {ended:,} ended jobs, {len(pages):,} pages of {_PAGE} listed: {spread(pages)} ms a page")
            listed = _resident(process)
            _prune(store, url, quick=quick)
            print(
                f"  memory of the server: {began} MiB at its start, {listed} after listing, {_resident(process)} after"
            )
        _locks(Path(folder, "locks.db"))


def _list(url: str) -> list[float]:
    """Milliseconds of each page, of the newest ones."""
    times: list[float] = []
    with urllib3.PoolManager(timeout=600) as pool:
        cursor = ""
        for _ in range(_PAGES):
            page: Any = None

            def ask(where: str = cursor) -> None:
                nonlocal page
                page = pool.request("GET", f"{url}/jobs?status=all&limit={_PAGE}{where}").json()

            times.append(seconds(ask) * 1000)
            if page["next_cursor"] is None:
                break
            cursor = f"&last_job_id={page['next_cursor']}"
    return times


def _prune(store: jobstate.JobStore, url: str, *, quick: bool) -> None:
    """What claims cost in quiet and while a prune runs, in one run."""
    claims = 300 if quick else 2000
    _claim(store, 50)  # to get warm
    quiet = [_claim(store, 1)[0] for _ in range(claims)]
    answer: dict[str, Any] = {}

    def prune() -> None:
        began = time.perf_counter()
        with urllib3.PoolManager(timeout=3600, retries=False) as pool:
            found = pool.request("DELETE", f"{url}/jobs?status=terminal")
        answer.update(status=found.status, count=found.headers.get("X-Deleted-Count"), took=time.perf_counter() - began)

    pruning = threading.Thread(target=prune)
    pruning.start()
    meanwhile: list[float] = []
    while pruning.is_alive():
        meanwhile += _claim(store, 1)
    pruning.join()
    print(f"  pruned {int(answer['count']):,} of them in {answer['took']:.1f} s (status {answer['status']})")
    for name, of in (("median", statistics.median), ("p99", _p99), ("slowest", max)):
        before, now = of(quiet) * 1e6, of(meanwhile) * 1e6
        told = f"quiet {before:>7,.0f} µs   while it prunes {now:>9,.0f} µs   ratio {now / before:.1f}"
        print(f"  a claim, {name:<8} {told}")
    print(f"  claims measured: {len(quiet)} quiet, {len(meanwhile)} while it prunes")


def _locks(path: Path) -> None:
    """How long one transaction of a prune keeps other writers out."""
    crowd.finished(path, 2 * ATOMIC_PRUNE + 24 * PRUNE_BATCH, history=True)
    with jobstate.open(path) as store:
        for batch, rounds in ((PRUNE_BATCH // 5, 20), (PRUNE_BATCH, 20), (ATOMIC_PRUNE, 2)):

            def remove(batch: int = batch) -> None:
                store.repository.jobs.prune(frozenset({State.COMPLETED}), None, batch, 1, Actor("benchmark"))

            times = [seconds(remove) * 1000 for _ in range(rounds)]
            print(f"  one transaction that removes {batch:,} jobs: {spread(times)} ms")


def _claim(store: jobstate.JobStore, count: int) -> list[float]:
    """Seconds of each claim; what is claimed is completed at once."""
    times = []
    for _ in range(count):
        store.submit("extract")
        runs: list[jobstate.Run] = []

        def take(into: list[jobstate.Run] = runs) -> None:
            into += store.claim("w", kinds=["extract"])

        times.append(seconds(take))
        for run in runs:
            run.complete()
    return times


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def _resident(process: subprocess.Popen[str]) -> int:
    """MiB in memory."""
    (line,) = [row for row in Path(f"/proc/{process.pid}/status").read_text().splitlines() if row.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


@contextmanager
def _server(path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process, and where it is."""
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(path)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process, next(word for word in process.stderr.readline().split() if word.startswith("http"))
    finally:
        process.terminate()
        process.communicate()
