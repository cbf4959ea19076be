"""How a run stands to its lease: five statuses, and one table of the events that move it from one to another."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final


class LeaseStatus(Enum):
    """What this process knows about the lease of a run."""

    HELD = "held"
    """The run may write under its lease."""
    ENDING = "ending"
    """A verb ended the job, in a transaction that may yet be undone."""
    ENDED = "ended"
    """The run ended its job."""
    LOST = "lost"
    """The store gave the lease to another worker, or took it away."""
    UNDONE = "undone"
    """The transaction in which the job was claimed was undone: another run has, or will have, the same token."""

    def __init__(self, value: str) -> None:
        self.gone = value in {"lost", "undone"}
        """The run ended because its lease is gone."""
        self.over = self.gone or value == "ended"
        """The run has ended."""

    __hash__ = object.__hash__  # that of `Enum` is written in Python, and every end of a run pays for it


class LeaseEvent(Enum):
    """What can happen to the lease, by who finds it out."""

    __hash__ = object.__hash__

    END_PENDING = auto()
    """The thread that writes: its verb ended the job, in an open transaction."""
    END_KEPT = auto()
    """The thread that writes, or a read of the history: this run ended its job for good."""
    END_UNDONE = auto()
    """The end of the block: the transaction of the verb was undone, and the lease is still held."""
    LEASE_LOST = auto()
    """A heartbeat, or a refused write: the store says that the lease is gone."""
    CLAIM_UNDONE = auto()
    """A read of the job, or a later claim: the claim was undone."""


MOVES: Final[Mapping[LeaseStatus, Mapping[LeaseEvent, LeaseStatus]]] = MappingProxyType(
    {
        LeaseStatus.HELD: {
            LeaseEvent.END_PENDING: LeaseStatus.ENDING,
            LeaseEvent.END_KEPT: LeaseStatus.ENDED,
            LeaseEvent.LEASE_LOST: LeaseStatus.LOST,
            LeaseEvent.CLAIM_UNDONE: LeaseStatus.UNDONE,
        },
        LeaseStatus.ENDING: {
            LeaseEvent.END_KEPT: LeaseStatus.ENDED,
            LeaseEvent.END_UNDONE: LeaseStatus.HELD,
            LeaseEvent.LEASE_LOST: LeaseStatus.LOST,
            LeaseEvent.CLAIM_UNDONE: LeaseStatus.UNDONE,
        },
        LeaseStatus.LOST: {
            LeaseEvent.END_KEPT: LeaseStatus.ENDED,  # a heartbeat read before the commit; the store kept the end
            LeaseEvent.CLAIM_UNDONE: LeaseStatus.UNDONE,
        },
        LeaseStatus.UNDONE: {
            LeaseEvent.END_KEPT: LeaseStatus.ENDED,  # the history was read before; it is over either way
        },
        LeaseStatus.ENDED: {},  # the end
    }
)
"""Every move. An event that a row does not name changes nothing: two threads may find out the same."""


class LeaseTracker:
    """The status of one lease. Every thread may read it; `move` is the only writer.

    Attributes:
        status: The status now.
        claim_open: The job was claimed in a transaction that may yet be undone. Not a status: a run whose claim is open
            may hold, end or lose its lease in the meantime.
    """

    __slots__ = ("_lock", "claim_open", "status")

    def __init__(self) -> None:
        self.status = LeaseStatus.HELD
        self.claim_open = False
        self._lock = threading.Lock()

    def move(self, event: LeaseEvent) -> LeaseStatus:
        """Apply an event; return the status after it."""
        with self._lock:
            self.status = MOVES[self.status].get(event, self.status)
            return self.status
