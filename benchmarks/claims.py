"""What a claim costs among many jobs: ended ones, and ones that stand ahead in the order but are not to be had."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jobstate
from benchmarks import crowd
from benchmarks.figures import seconds, spread


def measure(*, quick: bool) -> None:
    """Print the time of one claim, and its ratio to the time with a thousand finished jobs."""
    many = 10_000 if quick else 1_000_000
    crowds: dict[str, Callable[[Path], None]] = {
        "a thousand finished": lambda path: crowd.finished(path, 1000),
        f"{many:,} finished": lambda path: crowd.finished(path, many),
        f"{many:,} delayed": lambda path: crowd.waiting(path, many, available_at=crowd.FAR),
        f"{many:,} pinned elsewhere": lambda path: crowd.waiting(path, many, node_id="elsewhere"),
        f"{many:,} of another kind": lambda path: crowd.waiting(path, many, kind="other"),
    }
    with tempfile.TemporaryDirectory() as folder:
        stores = {}
        for number, (name, fill) in enumerate(crowds.items()):
            path = Path(folder, f"{number}.db")
            fill(path)
            stores[name] = jobstate.open(path, durability="normal")
        times: dict[str, list[float]] = {name: [] for name in stores}
        for _ in range(50 if quick else 400):
            for name, store in stores.items():  # in turn, so that all of them see the same machine
                store.submit("extract")
                took = partial(store.claim, "w", kinds=["extract"])
                times[name].append(seconds(took))
                for running in store.list("running").jobs:
                    store.stop(running, mode="force")
        for store in stores.values():
            store.close()
    base = statistics.median(times["a thousand finished"])
    for name, values in times.items():
        ratios = [value / base for value in values]
        print(f"  {name:<28} {statistics.median(values) * 1e6:>7.0f} µs a claim   ratio {spread(ratios)}")
