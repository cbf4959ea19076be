"""One thread speaks at a time, in the order in which numbers were drawn, and nobody waits for one who never comes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from jobstate.observers import delivery_queue
from jobstate.observers.delivery_queue import DeliveryQueue


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a test may take: only some are about it."""
    monkeypatch.setattr(delivery_queue, "PATIENCE", 60)


def beside(work: Callable[[], None]) -> threading.Thread:
    """A thread that does it, and does not keep the process when it hangs."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(20)
    return not thread.is_alive()


def test_who_comes_early_waits_for_those_before() -> None:
    queue, said = DeliveryQueue(), list[str]()
    first, second = queue.draw(), queue.draw()
    other = beside(lambda: queue.speak(second, lambda: said.append("second")))
    other.join(0.05)
    assert said == []
    queue.speak(first, lambda: said.append("first"))
    assert ended(other)
    assert said == ["first", "second"]


def test_a_number_that_was_given_up_holds_nobody_up() -> None:
    queue, said = DeliveryQueue(), list[str]()
    first, second = queue.draw(), queue.draw()
    queue.give_up(first)
    assert ended(beside(lambda: queue.speak(second, lambda: said.append("second"))))
    queue.speak(queue.draw(), lambda: said.append("third"))
    assert said == ["second", "third"]


def test_one_who_never_comes_is_waited_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_queue, "PATIENCE", 0.01)
    queue, said = DeliveryQueue(), list[str]()
    lost, second, third = (queue.draw() for _ in range(3))
    others = [
        beside(lambda number=number: queue.speak(number, lambda: said.append(str(number))))  # type: ignore[misc]
        for number in (third, second)
    ]
    assert all(ended(other) for other in others)
    queue.speak(lost, lambda: said.append("late"))
    queue.speak(queue.draw(), lambda: said.append("next"))
    assert said == ["1", "2", "late", "next"]


def test_what_a_speech_causes_is_said_after_it() -> None:
    queue, said = DeliveryQueue(), list[str]()

    def speech(depth: int) -> None:
        if depth:
            queue.speak(queue.draw(), lambda: speech(depth - 1))
        said.append(f"{depth}")

    queue.speak(queue.draw(), lambda: speech(2000))
    assert said == [str(depth) for depth in range(2000, -1, -1)]


def test_who_interjects_does_not_wait_and_is_heard_all_the_same() -> None:
    queue, said = DeliveryQueue(), list[str]()
    speaking, go_on = threading.Event(), threading.Event()

    def speech() -> None:
        speaking.set()
        assert go_on.wait(20)
        said.append("first")

    other = beside(lambda: queue.speak(queue.draw(), speech))
    assert speaking.wait(20)
    queue.interject(lambda: said.append("interjected"))
    assert said == []
    go_on.set()
    assert ended(other)
    queue.interject(lambda: said.append("again"))
    assert said == ["first", "interjected", "again"]


def test_a_speaker_that_is_interrupted_leaves_the_floor_to_others() -> None:
    queue, said = DeliveryQueue(), list[str]()

    def interrupted() -> None:
        queue.speak(queue.draw(), lambda: said.append("never"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queue.speak(queue.draw(), interrupted)
    with pytest.raises(KeyboardInterrupt):
        queue.interject(interrupted)
    assert ended(beside(lambda: queue.speak(queue.draw(), lambda: said.append("next"))))
    assert said == ["next"]


def test_a_speaker_that_was_interrupted_beyond_repair_does_not_keep_the_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second signal may come as the first one is dealt with."""
    monkeypatch.setattr(delivery_queue, "PATIENCE", 0.01)

    class Broken(DeliveryQueue):
        def _end(self, floor: object) -> None:
            raise KeyboardInterrupt

    queue, said = Broken(), list[str]()
    with pytest.raises(KeyboardInterrupt):
        queue.speak(queue.draw(), lambda: said.append("first"))
    queue.__class__ = DeliveryQueue  # type: ignore[assignment]
    assert ended(beside(lambda: queue.speak(queue.draw(), lambda: said.append("second"))))
    queue.speak(queue.draw(), lambda: said.append("third"))
    assert said == ["first", "second", "third"]
