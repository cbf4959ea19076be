"""A store with observers: it reads what each transaction committed from the history, and notifies the observers.

From the first write to the commit a transaction holds the write lock, so that every entry of the history behind the
newest one of its beginning is its own. Those that an inner block undid are not among them.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Final

from jobstate.domain.errors import InvalidRequest, JobStateError
from jobstate.domain.event import SWEEPER
from jobstate.domain.job import Job
from jobstate.domain.job_row import Lease
from jobstate.domain.leases import Renewal
from jobstate.domain.lifecycle import Trigger
from jobstate.observers.dispatcher import Dispatcher, Notice, logger
from jobstate.observers.observer import Claim, Heartbeat, Sweep, Transition
from jobstate.ports.repository import ExpiryPolicy
from jobstate.storage.connections import Connections
from jobstate.storage.engine import Engine, Result
from jobstate.storage.leases import SqlLeases
from jobstate.storage.mapping import Row, event_of, job_of
from jobstate.storage.repository import SqliteRepository
from jobstate.storage.statements.history import ObservingStatements
from jobstate.storage.transaction import Transaction

_CLAIM: Final = Trigger.CLAIM.value


class _Threads(threading.local):
    """What each thread has of its own."""

    outermost: Callable[[], ObservedTransaction | None] | None = None
    """A weak reference to the open transaction of jobstate that is inside no other one of jobstate."""

    def __init__(self) -> None:
        self.joined: weakref.WeakSet[ObservedTransaction] = weakref.WeakSet()
        """Those that ended inside a transaction of the caller, which keeps them alive until its end."""


class ObservedEngine(Engine):
    """An engine whose every write is a transaction; observers are notified of it once it is committed."""

    def __init__(self, connections: Connections, dispatcher: Dispatcher) -> None:
        if not connections.owned and not hasattr(connections.database, "after_commit"):
            raise InvalidRequest("observers", "in a database of your own need peewee 4.5 or newer; upgrade it")
        super().__init__(connections)
        self.dispatcher = dispatcher
        self.observed = _Threads()
        self.statements: ObservingStatements | None = None
        """None until the schema exists."""

    def transaction(self, *, relaxed: bool = False) -> Transaction:
        if self.statements is None:
            return Transaction(self.connections, relaxed=relaxed)
        return ObservedTransaction(self, self.statements, relaxed=relaxed)

    def open_transaction(self) -> ObservedTransaction | None:
        """The outermost transaction of jobstate that the calling thread has open."""
        known = self.observed.outermost
        outermost = None if known is None else known()
        return outermost if outermost is not None and self.connections.connection().in_transaction else None

    def notify(self, notice: Notice) -> None:
        """Notify observers once the open transaction is committed; not if it is rolled back."""
        begun = self.open_transaction()
        if begun is not None:
            begun.further.append(notice)
        elif self.connections.connection().in_transaction:
            self.connections.database.after_commit(partial(self.dispatcher.deliver_unordered, notice))
        else:
            self.dispatcher.deliver_unordered(notice)

    def count(self, sql: str, values: object = ()) -> int:
        return self._written(sql, values, lambda cursor: cursor.rowcount)

    def _written(self, sql: str, values: object, finish: Callable[[sqlite3.Cursor], Result]) -> Result:
        if self.statements is None or self.open_transaction() is not None:
            return super()._written(sql, values, finish)
        with self.transaction() as connection:
            return finish(connection.execute(sql, values))  # type: ignore[arg-type]


class ObservedTransaction(Transaction):
    """The outermost one of a thread notifies observers of what it and those inside it committed."""

    __slots__ = ("_after", "_delivery", "_engine", "_outermost", "_rows", "_statements", "_undo_to", "further")

    def __init__(self, engine: ObservedEngine, statements: ObservingStatements, *, relaxed: bool) -> None:
        super().__init__(engine.connections, relaxed=relaxed)
        self._engine = engine
        self._statements = statements
        self._after = 0
        self._outermost = False
        self._rows: list[Row] = []
        self._delivery: tuple[int, list[Notice]] | None = None
        self._undo_to: tuple[ObservedTransaction, int] | None = None
        self.further: list[Notice] = []
        """Notices beside those of the history."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            if self._outermost:
                self._engine.observed.outermost = None
        if self._delivery is not None:
            self._engine.dispatcher.deliver(*self._delivery)

    def _begin(self, connection: sqlite3.Connection) -> None:
        super()._begin(connection)
        around = self._engine.open_transaction() if self._joined else None
        if around is not None:
            self._undo_to = (around, len(around.further))
            return
        ((self._after,),) = self._engine.read(self._statements.newest)
        self._outermost = True
        self._engine.observed.outermost = weakref.ref(self)

    def _commit(self) -> None:
        if not self._outermost:
            super()._commit()
            return
        dispatcher = self._engine.dispatcher
        self._rows = rows = self._engine.read(self._statements.written, (self._after,))
        if self._joined:
            super()._commit()
            joined = self._engine.observed.joined
            for earlier in joined:
                earlier.forget(self._after)
            if rows or self.further:
                joined.add(self)
                self._engine.connections.database.after_commit(self._notify_after_commit)
            return
        notices = [*_notices(rows, self._statements.width), *self.further]
        if not notices:
            super()._commit()
            return
        ticket = dispatcher.take_ticket()
        try:
            super()._commit()
        except BaseException:
            dispatcher.cancel(ticket)
            raise
        self._delivery = (ticket, notices)

    def _undo(self) -> None:
        if self._undo_to is not None:
            around, length = self._undo_to
            del around.further[length:]
        super()._undo()

    def forget(self, after: int) -> None:
        """Drop entries with larger numbers: the caller has rolled them back, and their numbers will be used again."""
        self._rows = [row for row in self._rows if row[0] <= after]

    def _notify_after_commit(self) -> None:
        """Notify observers after the caller's commit, but not of entries that a savepoint rolled back."""
        rows, width, kept = self._rows, self._statements.width, set[Row]()
        try:
            if rows:
                kept.update(self._engine.read(self._statements.kept, (self._after, rows[-1][0])))
        except JobStateError:  # raised here, it would seem that the transaction of the caller had failed
            logger.exception("observers are not notified of a transaction, as the store cannot be read")
            return
        notices = [*_notices([row for row in rows if row[:width] in kept], width), *self.further]
        if notices:
            self._engine.dispatcher.deliver(self._engine.dispatcher.take_ticket(), notices)


class ObservedLeases(SqlLeases):
    """Notifies observers of heartbeats too, which write no history."""

    _engine: ObservedEngine

    def renew(self, leases: Sequence[Lease], lease: int, now: int, expiry: ExpiryPolicy) -> list[Renewal]:
        renewals = super().renew(leases, lease, now, expiry)
        held = tuple(Lease(renewal.job_id, renewal.token) for renewal in renewals if renewal.held)
        node = expiry.by.name.removeprefix(SWEEPER)
        self._engine.notify(Heartbeat(node, held, now, now + lease))
        return renewals


class ObservedRepository(SqliteRepository):
    """The store whose engine is an observed one."""

    def __init__(self, engine: ObservedEngine, prefix: str) -> None:
        super().__init__(engine, prefix)
        engine.statements = self._sql.observing

    @cached_property
    def leases(self) -> ObservedLeases:
        return ObservedLeases(self._engine, self._sql.leases, self.jobs, self.reports)


def _notices(rows: Iterable[Row], width: int) -> list[Notice]:
    notices: list[Notice] = []
    settled: dict[str, dict[int, Any]] = {}
    for row in rows:
        event, job = event_of(row[:width]), Job(job_of(row[width:]))
        if event.is_note:
            continue
        notices.append(Transition(event, job))
        if event.trigger == _CLAIM:
            notices.append(Claim(event, job))
        elif event.actor.startswith(SWEEPER):
            settled.setdefault(event.actor, {})[event.job_id] = None
    return [*notices, *(Sweep(actor, tuple(jobs)) for actor, jobs in settled.items())]
