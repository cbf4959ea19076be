"""The stores in front of which the commands are shown: filled with a clock that is turned by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import jobstate
from jobstate import JobStore, RetryPolicy
from jobstate.testing.clock import ManualClock
from tests.adapters.golden import pipeline

NIGHT: Final = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)
"""When the commands are run: the operator was woken up."""
NAME: Final = "jobstate.db"
_RETRY: Final = RetryPolicy(initial=600, cap=600, jitter=0)


def _day(store: JobStore, clock: ManualClock) -> None:
    """A job in every state, with what makes a line long: names, reasons, failures, labels, other alphabets."""

    def at(days: float) -> None:
        clock.set(NIGHT - timedelta(days=days))

    at(4)
    store.submit("extract", {"dataset": "eth/mainnet@1.2.0", "start_block": 0, "end_block": 18_999_999})
    (done,) = store.claim("extract-eu-west-1-blue-07", lease=86_400)
    done.add_range("blocks", 0, 18_999_999, files=1_900, size_bytes=1_234_567_890_123)
    done.add_range("logs", 0, 18_999_999, files=19_000, size_bytes=98_765_432_109)
    done.checkpoint(state=19_000_000)
    at(3.5)
    done.complete()
    at(3)
    store.submit("load", {"table": "blocks"}, retry=_RETRY, max_attempts=2)
    for wait in (0, 601):
        clock.advance(wait)
        (broken,) = store.claim("load-1", lease=3600)
        clock.advance(60)
        broken.fail(
            'psycopg.errors.UndefinedColumn: column "block_hash" of relation "blocks" does not exist\n'
            'LINE 1: INSERT INTO blocks (number, block_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING\n\tat "block_hash"'
        )
    at(2)
    store.submit("extract", {"dataset": "wrong"})
    store.stop(3, reason="submitted with the wrong data set; the right one is job 6")
    store.sweep()
    at(1)
    store.submit("extract", {"dataset": "eth/sepolia"}, hold=True, labels={"team": "data"})
    store.submit(
        "extract",
        {"dataset": "eth/mainnet@1.3.0", "start_block": 19_000_000, "end_block": 21_500_000, "note": "n" * 200},
        key="eth/mainnet@1.3.0",
        pipeline_id="eth-mainnet",
        labels={"team": "data", "cost-centre": "4711", "requested-by": "ana"},
        retry=_RETRY,
        parallelism=4,
        priority=-5,
    )
    clock.advance(3600)
    (lost,) = store.claim("extract-eu-west-1-blue-06", lease=60)
    lost.add_range("blocks", 19_000_000, 19_999_999, files=100, size_bytes=50_000_000_000)
    lost.checkpoint(state=20_000_000)
    lost.fail(TimeoutError("upstream.example.org:443 did not answer for 30 s"))
    clock.advance(600)
    (run,) = store.claim("extract-eu-west-1-blue-07", lease=86_400)
    at(0.25)
    run.add_range("blocks", 20_000_000, 20_999_999, files=100, size_bytes=51_000_000_000)
    run.add_range("blocks", 21_100_000, 21_200_000, files=10, size_bytes=999)
    run.add_range("a_table_with_a_rather_long_name_indeed", 0, 9)
    run.flush()
    store.submit("load", {"table": "logs"}, retry=RetryPolicy(initial=86_400, jitter=0, cap=86_400))
    (tried,) = store.claim("load-1", kinds=["load"], lease=60)
    tried.fail("the disk is full")
    for kind in ("compact", "verify"):
        store.submit(kind, {"dataset": "eth/mainnet@1.2.0"})
        (held,) = store.claim("compact-1", kinds=[kind], lease=86_400)
        store.stop(held, timeout=timedelta(hours=12), reason="makes room for job 5")
        if kind == "verify":
            held.begin_stop()
    at(0.125)
    store.submit(
        "transform-and-deduplicate-parquet-files-of-all-tables", {"files": list(range(30))}, node_id="big-memory-1"
    )
    store.submit("report", {"day": "2026-03-14"}, available_at=NIGHT + timedelta(hours=4))
    store.submit("抽出", {"名前": "データセット" * 12, "markup": '[bold]not bold[/bold] \\ "quoted" 🚀'})
    store.submit("extract", {"dataset": "eth/holesky"})
    store.stop(12, reason="first line\nsecond line \x1b[31mred\x1b[0m")
    clock.set(NIGHT)


def _trouble(store: JobStore, clock: ManualClock) -> None:
    """What the doctor and the sweep are for."""
    clock.set(NIGHT - timedelta(hours=2))
    for number in range(8):
        store.submit("extract", {"n": number})
    store.claim("extract-1", limit=7, lease=60)
    clock.advance(30)
    store.stop(8, timeout=60)
    clock.set(NIGHT)


def _empty(store: JobStore, clock: ManualClock) -> None:
    clock.set(NIGHT)


STORIES: Final[dict[str, Callable[[JobStore, ManualClock], None]]] = {
    "day": _day,
    "trouble": _trouble,
    "unguarded": _trouble,
    "empty": _empty,
    "pipeline": lambda store, clock: pipeline.tell(store, clock, NIGHT),
}


def tell(name: str, folder: Path) -> Path:
    """Write the store of that name."""
    path = folder / f"{name}.db"
    clock = ManualClock(NIGHT - timedelta(days=10))
    with jobstate.open(path, clock=clock, actor="cli:ben", durability="normal", keep_logs=pipeline.KEEP_LOGS) as store:
        STORIES[name](store, clock)
    if name == "unguarded":
        connection = sqlite3.connect(path)
        connection.execute("DROP TRIGGER jobs_update_guard")
        connection.close()
    return path
