"""The status of a lease: every event in every status, against the flags that the table replaced."""

from __future__ import annotations

from itertools import product

import pytest

from jobstate.worker.lease_status import MOVES, LeaseEvent, LeaseStatus, LeaseTracker


class Flags:
    """The rule written a second time, as flags that each event sets or clears."""

    def __init__(self, status: LeaseStatus) -> None:
        self.ending = status is LeaseStatus.ENDING
        self.ended = status is LeaseStatus.ENDED
        self.undone = status is LeaseStatus.UNDONE
        self.lost_flag = self.undone or status is LeaseStatus.LOST

    def apply(self, event: LeaseEvent) -> None:
        match event:
            case LeaseEvent.END_PENDING:
                self.ending = True
            case LeaseEvent.END_KEPT:
                self.ended = True
            case LeaseEvent.END_UNDONE:
                self.ending = False
            case LeaseEvent.LEASE_LOST:
                self.lost_flag = True
            case LeaseEvent.CLAIM_UNDONE:
                self.undone = self.lost_flag = True

    @property
    def lost(self) -> bool:
        return self.lost_flag and not self.ended

    @property
    def settled(self) -> bool:
        return self.lost_flag or self.ended


def tracker_in(status: LeaseStatus) -> LeaseTracker:
    tracker = LeaseTracker()
    tracker.status = status
    return tracker


@pytest.mark.parametrize(("status", "event"), list(product(LeaseStatus, LeaseEvent)))
def test_the_table_answers_as_the_flags_do(status: LeaseStatus, event: LeaseEvent) -> None:
    tracker, flags = tracker_in(status), Flags(status)
    flags.apply(event)
    after = tracker.move(event)
    assert tracker.status is after
    assert (after.gone, after.over) == (flags.lost, flags.settled)
    assert (after is LeaseStatus.ENDING) == (flags.ending and not flags.settled)
    assert (after is LeaseStatus.UNDONE) == (flags.undone and not flags.ended)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_every_series_of_events_ends_as_it_does_with_flags(length: int) -> None:
    for events in product(LeaseEvent, repeat=length):
        tracker, flags = LeaseTracker(), Flags(LeaseStatus.HELD)
        for event in events:
            tracker.move(event)
            flags.apply(event)
        assert (tracker.status.gone, tracker.status.over) == (flags.lost, flags.settled), events


def test_the_table_has_a_row_for_each_status_and_no_move_that_moves_nothing() -> None:
    assert set(MOVES) == set(LeaseStatus)
    for status, row in MOVES.items():
        assert status not in row.values()


def test_a_run_that_ended_stays_ended() -> None:
    assert MOVES[LeaseStatus.ENDED] == {}
    assert set(MOVES[LeaseStatus.UNDONE].values()) == {LeaseStatus.ENDED}


def test_only_the_end_of_a_transaction_gives_a_lease_back() -> None:
    back = {(status, event) for status, row in MOVES.items() for event, to in row.items() if to is LeaseStatus.HELD}
    assert back == {(LeaseStatus.ENDING, LeaseEvent.END_UNDONE)}


def test_a_new_lease_is_held_and_its_claim_is_closed() -> None:
    tracker = LeaseTracker()
    assert (tracker.status, tracker.claim_open) == (LeaseStatus.HELD, False)
