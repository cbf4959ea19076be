"""Stores with an observer, of each kind that the contract knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import jobstate
from jobstate import JobStore
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract import StoreKind
from jobstate.testing.contract.kinds import OpenStore
from tests.contract.conftest import blanks, store_kind
from tests.telemetry.recording import RecordingObserver

__all__ = ["blanks", "store_kind"]


@pytest.fixture
def clock() -> ManualClock:
    """The hand-turned clock of the stores."""
    return ManualClock()


@pytest.fixture
def open_store(store_kind: StoreKind, clock: ManualClock) -> Iterator[OpenStore]:
    """Opens stores of each kind in turn; they are closed after the test."""
    with ExitStack() as after:

        def open_one(**options: Any) -> JobStore:
            chosen = {"clock": clock, "actor": "test:suite", **store_kind.options, **options}
            return after.enter_context(jobstate.open(store_kind.make(), **chosen))

        yield open_one


@pytest.fixture
def seen() -> RecordingObserver:
    """The calls of the store of the test."""
    return RecordingObserver()


@pytest.fixture
def store(open_store: OpenStore, seen: RecordingObserver) -> JobStore:
    """One empty store with that observer."""
    return open_store(observers=[seen])
