"""One thread delivers at a time, in the order of the tickets; a ticket whose holder never comes is skipped."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from jobstate.observers import delivery_queue
from jobstate.observers.delivery_queue import DeliveryQueue


@pytest.fixture(autouse=True)
def long_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a test may take; only some tests are about it."""
    monkeypatch.setattr(delivery_queue, "TICKET_TIMEOUT", 60)


def beside(work: Callable[[], None]) -> threading.Thread:
    """A thread that does it, and does not keep the process when it hangs."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(20)
    return not thread.is_alive()


def test_a_later_ticket_waits_for_the_earlier_ones() -> None:
    queue, delivered = DeliveryQueue(), list[str]()
    first, second = queue.take_ticket(), queue.take_ticket()
    other = beside(lambda: queue.deliver(second, lambda: delivered.append("second")))
    other.join(0.05)
    assert delivered == []
    queue.deliver(first, lambda: delivered.append("first"))
    assert ended(other)
    assert delivered == ["first", "second"]


def test_a_cancelled_ticket_lets_later_ones_pass() -> None:
    queue, delivered = DeliveryQueue(), list[str]()
    first, second = queue.take_ticket(), queue.take_ticket()
    queue.cancel(first)
    assert ended(beside(lambda: queue.deliver(second, lambda: delivered.append("second"))))
    queue.deliver(queue.take_ticket(), lambda: delivered.append("third"))
    assert delivered == ["second", "third"]


def test_a_ticket_whose_holder_never_comes_is_skipped_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_queue, "TICKET_TIMEOUT", 0.01)
    queue, delivered = DeliveryQueue(), list[str]()
    lost, second, third = (queue.take_ticket() for _ in range(3))
    others = [
        beside(lambda ticket=ticket: queue.deliver(ticket, lambda: delivered.append(str(ticket))))  # type: ignore[misc]
        for ticket in (third, second)
    ]
    assert all(ended(other) for other in others)
    queue.deliver(lost, lambda: delivered.append("late"))
    queue.deliver(queue.take_ticket(), lambda: delivered.append("next"))
    assert delivered == ["1", "2", "late", "next"]


def test_a_delivery_that_another_one_causes_comes_after_it() -> None:
    queue, delivered = DeliveryQueue(), list[str]()

    def deliver(depth: int) -> None:
        if depth:
            queue.deliver(queue.take_ticket(), lambda: deliver(depth - 1))
        delivered.append(f"{depth}")

    queue.deliver(queue.take_ticket(), lambda: deliver(2000))
    assert delivered == [str(depth) for depth in range(2000, -1, -1)]


def test_an_unordered_delivery_does_not_wait_and_is_made_by_the_thread_that_delivers() -> None:
    queue, delivered = DeliveryQueue(), list[str]()
    delivering, go_on = threading.Event(), threading.Event()

    def blocked() -> None:
        delivering.set()
        assert go_on.wait(20)
        delivered.append("first")

    other = beside(lambda: queue.deliver(queue.take_ticket(), blocked))
    assert delivering.wait(20)
    queue.deliver_unordered(lambda: delivered.append("unordered"))
    assert delivered == []
    go_on.set()
    assert ended(other)
    queue.deliver_unordered(lambda: delivered.append("again"))
    assert delivered == ["first", "unordered", "again"]


def test_an_interrupted_delivery_frees_the_queue() -> None:
    queue, delivered = DeliveryQueue(), list[str]()

    def interrupted() -> None:
        queue.deliver(queue.take_ticket(), lambda: delivered.append("never"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queue.deliver(queue.take_ticket(), interrupted)
    with pytest.raises(KeyboardInterrupt):
        queue.deliver_unordered(interrupted)
    assert ended(beside(lambda: queue.deliver(queue.take_ticket(), lambda: delivered.append("next"))))
    assert delivered == ["next"]


def test_a_thread_that_is_interrupted_again_as_it_frees_the_queue_does_not_keep_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second signal may come while the first one is handled."""
    monkeypatch.setattr(delivery_queue, "TICKET_TIMEOUT", 0.01)

    class Broken(DeliveryQueue):
        def _release(self, owner: object) -> None:
            raise KeyboardInterrupt

    queue, delivered = Broken(), list[str]()
    with pytest.raises(KeyboardInterrupt):
        queue.deliver(queue.take_ticket(), lambda: delivered.append("first"))
    queue.__class__ = DeliveryQueue  # type: ignore[assignment]
    assert ended(beside(lambda: queue.deliver(queue.take_ticket(), lambda: delivered.append("second"))))
    queue.deliver(queue.take_ticket(), lambda: delivered.append("third"))
    assert delivered == ["first", "second", "third"]
