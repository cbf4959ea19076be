"""The fixtures of the suite."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import jobstate
from jobstate.store.job_store import JobStore
from jobstate.system import SystemClock
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore, OpenTwice, StoreKind
from jobstate.testing.contract.situations import everything, running, submitted


class StoreFixtures:
    """Fixtures on the `store_kind` of a class; a project may use them for its own tests too."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The manual clock of the stores."""
        return ManualClock()

    @pytest.fixture
    def open_store(self, store_kind: StoreKind, clock: ManualClock) -> Iterator[OpenStore]:
        """Opens stores of the kind under test, and closes them after the test."""
        with ExitStack() as after:

            def open_one(**options: Any) -> JobStore:
                return after.enter_context(_opened(store_kind, store_kind.make(), clock, options))

            yield open_one

    @pytest.fixture
    def store(self, open_store: OpenStore) -> JobStore:
        """One empty store with the default options."""
        return open_store()

    @pytest.fixture
    def ticking(self, open_store: OpenStore) -> JobStore:
        """A store with the clock of the machine."""
        return open_store(clock=SystemClock())

    @pytest.fixture
    def untouched(self, store: JobStore) -> Iterator[JobStore]:
        """A store with two jobs, which the test must leave unchanged."""
        running(store)
        submitted(store, hold=True)
        before = everything(store)
        yield store
        assert everything(store) == before
        assert store.audit().ok

    @pytest.fixture
    def open_twice(self, store_kind: StoreKind, clock: ManualClock) -> Iterator[OpenTwice]:
        """Opens a store twice, as two processes would."""
        again = store_kind.again
        if again is None:
            pytest.skip("store_kind says again=None: this store cannot be opened twice")
        with ExitStack() as after:

            def open_both(**options: Any) -> tuple[JobStore, JobStore]:
                target = store_kind.make()
                first = after.enter_context(_opened(store_kind, target, clock, options))
                return first, after.enter_context(_opened(store_kind, again(target), clock, options))

            yield open_both

    @pytest.fixture
    def backed_up(
        self, store_kind: StoreKind, clock: ManualClock, tmp_path: Path
    ) -> Iterator[Callable[[JobStore], JobStore]]:
        """Backs a store up and opens the backup; closes it after the test."""
        from_backup = store_kind.from_backup
        if from_backup is None:
            pytest.skip("store_kind says from_backup=None: this store makes no backups")
        with ExitStack() as after:

            def copy(store: JobStore) -> JobStore:
                path = tmp_path / "backup"
                store.backup(path)
                return after.enter_context(_opened(store_kind, from_backup(path), clock, {}))

            yield copy

    @pytest.fixture
    def logger(self) -> Iterator[logging.Logger]:
        """The logger of an application."""
        own = logging.getLogger("application")
        own.setLevel(logging.DEBUG)
        yield own
        own.handlers.clear()

    @pytest.fixture
    def quiet(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        """Fails the test if the worker logged a warning."""
        yield
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def _opened(kind: StoreKind, target: Any, clock: ManualClock, options: dict[str, Any]) -> JobStore:
    return jobstate.open(target, **{"clock": clock, "actor": "test:suite", **kind.options, **options})
