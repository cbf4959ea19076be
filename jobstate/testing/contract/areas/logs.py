"""The log of a job: through `run.log` and through handlers of `logging`, bounded, filtered, its errors apart."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from jobstate import InvalidRequest, JobNotFound, JobStore, LeaseLost, LogLevel, Run, RunHandler
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, LEASE, claimed, running, submitted
from jobstate.worker.entry_buffer import MAX_LOGS_WAITING

START = datetime(2024, 1, 1, tzinfo=UTC)


def messages(run: Run, store: JobStore, **wanted: Any) -> list[str]:
    run.flush()
    return [entry.message for entry in store.logs(run, **wanted)]


def test_an_entry_holds_all_that_was_given(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(5)
    run.log.info(
        "connected to %s", "broker", operator_id="source_1", task_index=0, details={"topic": "events", "n": [1]}
    )
    run.flush()
    (entry,) = store.logs(run)
    assert (entry.id, entry.number, entry.level) == ("log_1", 1, LogLevel.INFO)
    assert (entry.message, entry.operator_id, entry.task_index) == ("connected to broker", "source_1", 0)
    assert (entry.details, entry.record) == ({"topic": "events", "n": [1]}, None)
    assert entry.time == START + timedelta(seconds=5)


def test_levels_are_three_and_debugging_is_not_kept(store: JobStore) -> None:
    run = running(store)
    for say in (run.log.debug, run.log.info, run.log.warning, run.log.error, run.log.critical):
        say("slow")
    run.flush()
    levels = [entry.level.value for entry in store.logs(run)]
    assert levels == ["error", "error", "warn", "info"]


def test_entries_come_newest_first_in_pages(store: JobStore) -> None:
    run = running(store)
    for number in range(1, 8):
        run.log.info("%d", number)
    run.flush()
    first = store.logs(run, limit=3)
    assert ([entry.number for entry in first], first.has_more, first.total, first.retained) == ([7, 6, 5], True, 7, 7)
    rest = store.logs(run, limit=4, before=5)
    assert ([entry.number for entry in rest], rest.has_more) == ([4, 3, 2, 1], False)
    since = store.logs(run, limit=2, after=4)
    assert ([entry.number for entry in since], since.has_more) == ([5, 6], True)
    between = store.logs(run, limit=2, after=2, before=6)
    assert ([entry.number for entry in between], between.has_more) == ([3, 4], True)
    assert [entry.number for entry in store.logs(run, after=4, before=6)] == [5]


def test_numbers_go_on_over_runs(store: JobStore) -> None:
    run = running(store, retry=AT_ONCE, max_attempts=9)
    run.log.info("first run")
    run.release()
    run = claimed(store, store.get(run.id))
    run.log.info("second run")
    assert messages(run, store) == ["second run", "first run"]
    assert [entry.number for entry in store.logs(run)] == [2, 1]


def test_filters_are_exact(store: JobStore, clock: ManualClock) -> None:
    run = claimed(store, submitted(store), lease=3600)
    for number in range(12):
        level = (logging.INFO, logging.WARNING, logging.ERROR)[number % 3]
        run.log.log(level, "%d", number, operator_id=f"op{number % 2}", task_index=number % 4)
        clock.advance(1)
    assert messages(run, store, level="info") == ["9", "6", "3", "0"]
    assert messages(run, store, level=["warn", "error"], limit=3) == ["11", "10", "8"]
    assert messages(run, store, level=["error", "info"], limit=3) == ["11", "9", "8"]
    assert messages(run, store, level=["info", "warn", "error"], limit=3) == ["11", "10", "9"]
    assert messages(run, store, level="warning", operator_id="op1") == ["7", "1"]
    assert messages(run, store, operator_id="op0", task_index=2) == ["10", "6", "2"]
    since, until = START + timedelta(seconds=3), START + timedelta(seconds=6)
    assert messages(run, store, since=since, until=until) == ["5", "4", "3"]
    assert messages(run, store, operator_id="nobody") == []


def test_the_warnings_and_errors_apart(store: JobStore) -> None:
    run = running(store)
    run.log.info("fine")
    run.log.warning("slow")
    run.log.error("cannot parse", details="unexpected character", record='{"bad json', operator_id="source_1")
    run.flush()
    page = store.errors(run)
    assert [(entry.message, entry.details, entry.record) for entry in page] == [
        ("cannot parse", "unexpected character", '{"bad json'),
        ("slow", None, None),
    ]
    assert [entry.message for entry in store.errors(run, level="warning")] == ["slow"]
    assert [entry.message for entry in store.errors(run, operator_id="source_1", limit=1)] == ["cannot parse"]
    with pytest.raises(InvalidRequest, match="level"):
        store.errors(run, level="info")


def test_what_made_a_run_fail_is_among_its_errors_with_its_traceback(store: JobStore) -> None:
    run = running(store, retry=AT_ONCE, max_attempts=3)
    with run:
        raise ValueError("no such table")
    again = claimed(store, store.get(run.id))
    again.fail("disk gone")
    second, first = store.errors(run)
    assert (second.message, second.details) == ("disk gone", None)
    assert first.message == "no such table"
    assert "ValueError: no such table" in first.details


def test_an_exception_that_was_logged_keeps_its_traceback(store: JobStore) -> None:
    run = running(store)
    try:
        raise OSError("gone")
    except OSError:
        run.log.exception("cannot read")
        run.log.exception("nor write", details={"file": "a"})
    run.flush()
    with_details, without = store.logs(run)
    assert "OSError: gone" in without.details
    assert with_details.details == {"file": "a"}


@pytest.mark.parametrize(
    ("details", "kept"),
    [
        ({"at": Decimal("1.5")}, {"at": "1.5"}),
        ({"n": float("nan")}, "{'n': nan}"),
        ({1: 2}, {"1": 2}),
        ("text", "text"),
        (["a"], "['a']"),
        ({"nul": "a\0b"}, "{'nul': 'a\\x00b'}"),
    ],
)
def test_details_that_json_cannot_hold_become_text(store: JobStore, details: Any, kept: Any) -> None:
    run = running(store)
    run.log.info("slow", details=details)
    run.flush()
    assert [entry.details for entry in store.logs(run)] == [kept]


def test_what_is_too_long_is_cut_with_a_mark(store: JobStore) -> None:
    run = running(store)
    run.log.info("m" * 10_000, details={"d": "d" * 20_000}, record="r" * 20_000)
    run.log.info("nul \0 and surrogate \ud800")
    run.flush()
    odd, long = store.logs(run)
    assert odd.message == "nul \N{REPLACEMENT CHARACTER} and surrogate ?"
    assert (len(long.message), long.message[-1]) == (8_192, "…")
    assert (len(long.details), long.details[-1]) == (16_384, "…")
    assert (len(long.record or ""), (long.record or "")[-1]) == (16_384, "…")


def test_a_handler_of_logging_writes_to_the_run_whose_block_the_thread_is_in(
    store: JobStore, logger: logging.Logger
) -> None:
    logger.addHandler(RunHandler())
    logger.info("outside")
    first, second = running(store), running(store)
    ready = threading.Barrier(2)

    def work(run: Run, name: str) -> None:
        with run:
            ready.wait()
            logger.warning("%s", name, extra={"operator_id": "op", "record": "r"})
            ready.wait()

    threads = [threading.Thread(target=work, args=(run, name)) for run, name in ((first, "one"), (second, "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.info("outside again")
    entries = [
        [(entry.message, entry.operator_id, entry.record) for entry in store.logs(run)] for run in (first, second)
    ]
    assert entries == [[("one", "op", "r")], [("two", "op", "r")]]


def test_a_block_within_a_block_gives_the_outer_one_back(store: JobStore, logger: logging.Logger) -> None:
    logger.addHandler(RunHandler())
    outer, inner = running(store), running(store)
    with outer:
        with inner:
            logger.info("inner")
        logger.info("outer")
    assert [[entry.message for entry in store.logs(run)] for run in (outer, inner)] == [["outer"], ["inner"]]


def test_a_handler_with_a_run_of_its_own_hears_every_thread(store: JobStore, logger: logging.Logger) -> None:
    run = running(store)
    logger.addHandler(RunHandler(run))
    logger.debug("not kept")
    thread = threading.Thread(target=logger.info, args=("from a thread",))
    thread.start()
    thread.join()
    assert messages(run, store) == ["from a thread"]


def test_what_the_log_of_a_run_passes_on_is_not_written_twice(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    handler = RunHandler()
    logging.getLogger().addHandler(handler)
    run = running(store)
    try:
        with caplog.at_level(logging.INFO, "jobstate.run"), run:
            run.log.info("once")
    finally:
        logging.getLogger().removeHandler(handler)
    assert [entry.message for entry in store.logs(run)] == ["once"]
    assert [record.getMessage() for record in caplog.records] == ["once"]


def test_an_application_decides_what_it_hears_of_the_log_of_a_run(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    run = running(store)
    heard = logging.getLogger("jobstate.run")
    try:
        heard.setLevel(logging.ERROR)
        run.log.warning("not heard")
        run.log.error("heard")
    finally:
        heard.setLevel(logging.NOTSET)
    assert [record.getMessage() for record in caplog.records] == ["heard"]
    assert messages(run, store) == ["heard", "not heard"]


def test_a_log_is_bounded_and_says_so_and_old_errors_stay_longer(open_store: OpenStore) -> None:
    store = open_store(keep_logs=100)
    run = claimed(store, submitted(store), lease=3600)
    run.log.error("early trouble")
    for number in range(1_000):
        run.log.info("%d", number)
        if number % 7 == 0:
            run.flush()
    run.flush()
    page = store.logs(run, limit=1000)
    assert page.total == 1_001
    assert 101 <= page.retained <= 111
    assert page.retained == len(page.entries)
    assert [entry.message for entry in page][:2] == ["999", "998"]
    assert page.entries[-1].message == "early trouble"
    assert [entry.message for entry in store.errors(run)] == ["early trouble"]
    assert store.audit().ok


def test_errors_are_bounded_too(open_store: OpenStore) -> None:
    store = open_store(keep_logs=10)
    run = claimed(store, submitted(store), lease=3600)
    for number in range(1_500):
        run.log.error("%d", number)
    run.flush()
    page = store.errors(run, limit=1000)
    assert page.total == 1_500
    assert 1_010 <= page.retained <= 1_011
    assert page.entries[0].message == "1499"


def test_more_than_can_wait_loses_the_oldest_and_says_so(store: JobStore) -> None:
    run = running(store)
    for number in range(MAX_LOGS_WAITING + 5):
        run.log.info("%d", number)
    run.flush()
    newest, before = store.logs(run, limit=2)
    assert newest.message == "5 entries are lost: they came faster than they could be written"
    assert before.message == f"{MAX_LOGS_WAITING + 4}"
    page = store.logs(run, after=0, limit=1)
    assert (page.entries[0].number, page.total, page.retained) == (1, MAX_LOGS_WAITING, MAX_LOGS_WAITING)
    assert page.entries[0].message == "6"  # the word about the losses took a place too


class Odd:
    """An object without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def test_a_log_call_never_fails_the_job(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    circle: dict[str, Any] = {}
    circle["itself"] = circle
    run = running(store)
    with run:
        run.log.info("read %(file)s", {"path": "x"})
        run.log.info("%s", Odd())
        run.log.info("odd record", record=Odd())
        run.log.info("odd details", details={"a": Odd()})
        run.log.info("task", task_index="first")
        run.log.info("circle", details=circle)
    assert store.get(run.id).state == "Completed"
    assert [entry.message for entry in store.logs(run)] == ["circle"]


def test_an_inner_transaction_that_was_undone_takes_nothing_of_the_log_along(store: JobStore) -> None:
    run = running(store)
    with store.batch():
        run.log.info("outer")
        run.flush()
        with pytest.raises(ZeroDivisionError), store.batch():
            run.log.info("inner")
            run.emit("sink", 1)
            run.flush()
            raise ZeroDivisionError
        run.log.info("outer again")
        run.complete()
    assert {entry.message for entry in store.logs(run)} == {"outer", "inner", "outer again"}
    assert [entry.number for entry in store.logs(run)] == [3, 2, 1]
    assert store.output(run).total == 1


def test_saying_something_in_a_transaction_waits_for_no_thread_that_writes(open_store: OpenStore) -> None:
    """A thread that flushes waits for the store; who holds the store and logs must not wait for that thread."""
    store = open_store()
    run = claimed(store, submitted(store), lease=3600)
    run.log.info("first")
    inside, done = threading.Event(), threading.Event()

    def flush() -> None:
        inside.wait()
        run.flush()

    other = threading.Thread(target=flush)
    other.start()
    with store.batch():
        store.submit("other")
        inside.set()
        done.wait(0.3)  # the other thread is at the lock by then
        began = time.monotonic()
        run.log.info("second")
        run.metrics("in", records_in=1)
        run.emit("sink", 1)
        assert time.monotonic() - began < 3
    other.join()
    run.flush()
    assert messages(run, store) == ["second", "first"]


def test_nothing_is_written_under_a_lease_that_is_gone(store: JobStore, clock: ManualClock) -> None:
    run = running(store, retry=AT_ONCE)
    run.log.info("in time")
    run.flush()
    run.log.info("late")
    clock.advance(LEASE)
    other = claimed(store, store.get(run.id), "worker-02")
    with pytest.raises(LeaseLost):
        run.flush()
    other.log.info("of the next run")
    assert messages(other, store) == ["of the next run", "in time"]


def test_entries_written_in_a_transaction_are_there_once_whatever_becomes_of_it(store: JobStore) -> None:
    run = running(store)
    run.log.info("before")
    with store.batch():
        run.log.info("kept")
        run.flush()
        run.log.info("kept too")
    with pytest.raises(ZeroDivisionError), store.batch():
        run.log.info("written again")
        run.flush()
        raise ZeroDivisionError
    run.log.info("after")
    assert messages(run, store) == ["after", "written again", "kept too", "kept", "before"]
    assert [entry.number for entry in store.logs(run)] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "wanted",
    [
        {"limit": 0},
        {"limit": 1001},
        {"level": "debug"},
        {"level": []},
        {"task_index": -1},
        {"since": datetime(2024, 1, 1)},  # noqa: DTZ001  (naive on purpose)
        {"before": 0},
    ],
)
def test_a_wrong_filter_is_named(store: JobStore, wanted: dict[str, Any]) -> None:
    job = submitted(store)
    with pytest.raises(InvalidRequest, match=next(reversed(wanted))):
        store.logs(job, **wanted)


def test_the_log_of_an_unknown_job_is_refused_and_that_of_a_silent_one_is_empty(store: JobStore) -> None:
    with pytest.raises(JobNotFound):
        store.logs(1)
    page = store.logs(submitted(store))
    assert (page.entries, page.total, page.retained, page.has_more) == ([], 0, 0, False)


def test_runs_that_end_in_any_order_leave_no_ended_one_to_write_to(store: JobStore, logger: logging.Logger) -> None:
    logger.addHandler(RunHandler())
    logger.propagate = False
    outer, first, second = running(store), running(store), running(store)
    with outer:
        first.__enter__()
        second.__enter__()
        logger.info("to the second")
        first.__exit__(None, None, None)
        logger.info("still to the second")
        second.__exit__(None, None, None)
        logger.info("to the outer one")
    logger.info("to nobody")
    entries = [[entry.message for entry in store.logs(run)] for run in (outer, first, second)]
    assert entries == [["to the outer one"], [], ["still to the second", "to the second"]]


def test_a_run_that_is_entered_twice_is_left_for_good(store: JobStore, logger: logging.Logger) -> None:
    logger.addHandler(RunHandler())
    logger.propagate = False
    outer, run = running(store), running(store)
    with outer:
        with run:
            with run:
                logger.info("within")
            logger.info("it has ended")
        logger.info("behind it")
    logger.info("to nobody")
    entries = [[entry.message for entry in store.logs(each)] for each in (outer, run)]
    assert entries == [["behind it", "it has ended"], ["within"]]


def test_following_ends_with_the_job_and_misses_nothing(store: JobStore) -> None:
    run = running(store)
    run.log.info("one")
    run.flush()
    entries = store.follow_logs(run)
    assert next(entries).message == "one"
    run.log.info("two")
    run.log.error("three")
    run.complete()
    assert [entry.message for entry in entries] == ["two", "three"]
    assert [entry.message for entry in store.follow_logs(run, level="error")] == ["three"]
    assert [entry.message for entry in store.follow_logs(run, after=2)] == ["three"]


def test_following_some_entries_of_a_long_log_misses_none_and_shows_none_twice(store: JobStore) -> None:
    run = running(store)
    written = 2_101
    for number in range(written):
        run.log.info("%d", number, operator_id="a" if number % 2 else "b", task_index=number % 7)
    run.complete()
    assert [entry.message for entry in store.follow_logs(run, operator_id="a")] == [*map(str, range(1, written, 2))]
    assert [entry.message for entry in store.follow_logs(run, task_index=3)] == [*map(str, range(3, written, 7))]
    assert [entry.message for entry in store.follow_logs(run, operator_id="c")] == []


def test_following_ends_also_when_the_worker_is_dead_and_nobody_else_looks(store: JobStore, clock: ManualClock) -> None:
    run = running(store, max_attempts=1)
    run.log.info("last words")
    run.flush()
    entries = store.follow_logs(run)
    assert next(entries).message == "last words"
    clock.advance(LEASE)
    assert list(entries) == []
    assert store.get(run.id).state == "Failed"


def test_following_a_job_that_is_removed_meanwhile_ends(store: JobStore) -> None:
    run = running(store)
    run.log.info("one")
    run.complete()
    entries = store.follow_logs(run)
    assert next(entries).message == "one"
    store.delete(run)
    assert list(entries) == []
    with pytest.raises(JobNotFound):
        next(store.follow_logs(run))
