"""`JobStore`, what `jobstate.open` returns: one method per use case, a file per sort of use."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from jobstate.domain import validation
from jobstate.domain.event import Actor
from jobstate.store.following import Following
from jobstate.store.operating import Operating
from jobstate.store.reports import Reports
from jobstate.store.submitting import Submitting
from jobstate.store.upkeep import Upkeep
from jobstate.store.working import Working


class JobStore(Submitting, Reports, Operating, Working, Following, Upkeep):
    """The truth about jobs, in one store. Safe to use from several threads; a forked child opens its own.

    Every method that changes something takes `actor` and `reason`, which the history keeps; `acting` sets them for
    many calls. Instants that are passed in must have a time zone; durations are seconds or timedeltas. Every method
    may raise a `StoreError` (`StoreBusy`, `StoreFull`, …); then nothing was changed.
    """

    def __enter__(self) -> JobStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JobStore {self.path}>"

    @property
    def path(self) -> str:
        """Where the store is."""
        return self.repository.path

    @property
    def schema_version(self) -> int:
        """The version of the schema in the store."""
        return self.repository.schema_version()

    def close(self) -> None:
        """Close the store; later calls raise `StoreClosed`. A database of the caller's own stays open."""
        self.repository.close()
        if self._context.dispatcher is not None:
            self._context.dispatcher.close()

    def acting(self, actor: str, reason: str | None = None) -> JobStore:
        """This store, with another default for who acts and why."""
        return JobStore(
            self._context, Actor(validation.text("actor", actor), validation.reason(reason)), self._stop_timeout
        )

    def batch(self) -> AbstractContextManager[Any]:
        """Many changes, one commit: an error that leaves the block undoes all of them."""
        return self.repository.transaction()
