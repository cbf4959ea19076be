"""What our kinds of store promise beside it, in tests that reach under the port."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import jobstate
from jobstate import JobStore, Lease, LogEntry, OperatorKind, Run, RunHandler, StoreBusy
from jobstate.domain import latency as domain_latency
from jobstate.domain.logs import LogFilter
from jobstate.domain.report import Report
from jobstate.ports.queries import LogRange
from jobstate.storage.transaction import Transaction
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract import StoreFixtures
from jobstate.testing.contract.situations import AT_ONCE, claimed, running
from jobstate.worker import entry_buffer
from jobstate.worker.entry_buffer import MAX_LOGS_WAITING, MAX_OUTPUT_WAITING
from jobstate.worker.run import control_of


def _busy(*_: object) -> dict[str, int]:
    raise StoreBusy("jobs.db", "it is locked")


def _elsewhere(act: Callable[[], object]) -> None:
    """Do it in another thread, whose changes are those of another connection."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


class TestBeneath(StoreFixtures):
    def test_a_job_that_somebody_took_after_the_look_at_it_is_theirs_alone(
        self, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = store.submit("extract"), store.submit("extract")
        engine: Any = store.repository._engine  # type: ignore[attr-defined]
        look = engine.read
        others: list[Run] = []

        def read(*asked: Any) -> Any:
            rows = look(*asked)
            monkeypatch.undo()
            if not others:
                others.extend(store.claim("worker-02"))
            return rows

        monkeypatch.setattr(engine, "read", read)
        (run,) = store.claim("worker-01")
        assert ([other.id for other in others], run.id) == ([first.id], second.id)
        assert [event.node for event in store.events(first) if event.trigger == "claim"] == ["worker-02"]

    def test_an_entry_is_not_lost_when_the_store_cannot_be_asked(
        self, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = running(store)
        run.log.info("kept")
        run.emit("sink", 1)
        run.metrics("in", records_in=1)
        telemetry = type(store.repository.telemetry)
        with monkeypatch.context() as broken:
            broken.setattr(telemetry, "emitted", _busy)
            with pytest.raises(StoreBusy):
                run.flush()
            with pytest.raises(StoreBusy):
                run.complete()
        run.complete()
        assert [entry.message for entry in store.logs(run)] == ["kept"]
        assert store.output(run).total == store.metrics(run).totals.records_in == 1

    def test_what_is_written_in_one_transaction_is_written_once(
        self, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = running(store)
        written = 0
        reports = type(store.repository.reports)
        record = reports.record

        def counted(self: Any, lease: Lease, report: Report) -> None:
            nonlocal written
            written += len(report.logs) + len(report.output)
            record(self, lease, report)

        monkeypatch.setattr(reports, "record", counted)
        with store.batch():
            for number in range(50):
                run.log.info("%d", number)
                run.emit("sink", number)
                run.flush()
        assert written == 100
        run.log.info("after")
        run.flush()
        assert written == 101
        assert store.logs(run).total == 51
        assert store.output(run).total == 50

    def test_a_checkpoint_beside_a_flush_that_fails_at_its_commit_holds_all_the_same(
        self, ticking: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a flush has taken was not written yet; a checkpoint that found nothing left to write lost it."""
        (run,) = ticking.claim("w", kinds=[ticking.submit("work").kind])
        run.add_range("rows", 0, 99)
        run.metrics("read", records_in=100)
        run.log.info("read")
        commit, committing = Transaction._commit, threading.Event()

        def full(self: Transaction) -> None:
            if threading.current_thread() is not flushing or self._joined:
                commit(self)
                return
            committing.set()
            time.sleep(0.2)
            raise jobstate.StoreFull("jobs.db", "the disk is full")

        def flush() -> None:
            with pytest.raises(jobstate.StoreFull):
                control_of(run).flush_if_free()

        monkeypatch.setattr(Transaction, "_commit", full)
        flushing = threading.Thread(target=flush)
        flushing.start()
        committing.wait()
        checkpoint = run.checkpoint(state=100)
        flushing.join()
        assert checkpoint.progress["rows"].current_block == 99
        run.release()
        (run,) = ticking.claim("w")
        assert run.progress["rows"].current_block == 99
        assert ticking.metrics(run).totals.records_in == 100
        assert [entry.message for entry in ticking.logs(run)] == ["read"]

    @pytest.mark.parametrize("error", [sqlite3.OperationalError("boom"), RuntimeError("boom")])
    def test_a_worker_whose_heartbeats_died_ends_with_their_error(
        self, ticking: JobStore, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def broken(*_: object) -> Any:
            raise error

        monkeypatch.setattr(ticking.repository.leases, "renew", broken)
        with pytest.raises(type(error), match="boom"):
            ticking.worker("w", shutdown_timeout=0.1).serve({"work": lambda run: None})

    def test_a_finalizer_may_log_while_entries_are_written(
        self, store: JobStore, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The garbage collector runs it in the middle of anything, also where entries are numbered under a lock."""
        logger.addHandler(RunHandler())
        logger.propagate = False
        run = running(store)
        finalized: list[str] = ["a task", "a session"]

        def number_it(entry: LogEntry, **changes: Any) -> LogEntry:
            if finalized:
                logger.error("%s was not closed", finalized.pop())
            return replace(entry, **changes)

        def work() -> None:
            with run:
                run.log.info("first")
                run.log.info("second")
                run.flush()

        monkeypatch.setattr(entry_buffer, "replace", number_it)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        assert store.get(run.id).state == "Completed"
        entries = store.logs(run).entries
        assert [entry.message for entry in entries] == [
            *("a task was not closed", "a session was not closed", "second", "first"),
        ]

    def test_what_comes_back_to_a_full_queue_is_told_to_be_lost(
        self, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = running(store)
        for number in range(MAX_LOGS_WAITING):
            run.log.info("%d", number)

        def too_late(*_: object) -> None:
            for number in range(5):
                run.log.info("meanwhile %d", number)
            raise StoreBusy("jobs.db", "it is locked")

        with monkeypatch.context() as broken:
            broken.setattr(type(store.repository.reports), "record", too_late)
            with pytest.raises(StoreBusy):
                run.flush()
        run.flush()
        newest, before = store.logs(run, limit=2)
        assert newest.message == "5 entries are lost: they came faster than they could be written"
        assert before.message == "meanwhile 4"

    def test_who_follows_a_log_looks_at_each_entry_once_whatever_else_is_written(
        self, store: JobStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = running(store, max_attempts=1)
        telemetry = type(store.repository.telemetry)
        look, looks = telemetry.logs, list[int]()
        rounds = iter(range(50))

        def counted(self: Any, job_id: int, wanted: LogFilter, place: LogRange) -> list[LogEntry]:
            assert place.after is not None
            looks.append(place.after)
            return look(self, job_id, wanted, place)

        def pause(seconds: float) -> None:
            _elsewhere(write)

        def write() -> None:
            number = next(rounds, None)
            if number is None:
                run.complete()
            elif number % 10:
                store.submit("noise")
            else:
                run.log.info("not asked for", operator_id="a")
                run.flush()

        monkeypatch.setattr(telemetry, "logs", counted)
        monkeypatch.setattr(clock, "sleep", pause)
        assert list(store.follow_logs(run, operator_id="b")) == []
        assert looks == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("moment", ["newest_log", "logs"])
    def test_what_is_written_between_two_looks_at_a_log_is_not_passed_over(
        self, store: JobStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        run = running(store, max_attempts=1)
        telemetry = type(store.repository.telemetry)
        look, following = getattr(telemetry, moment), threading.current_thread()
        to_say = list(range(7))

        def say() -> None:
            if to_say:
                number = to_say.pop(0)
                run.log.info("%d", number, operator_id="b" if number % 2 else "a")
                run.flush()

        def after_a_write(*asked: Any) -> Any:
            if threading.current_thread() is following:
                _elsewhere(say)
            return look(*asked)

        def pause(seconds: float) -> None:
            _elsewhere(say if to_say else run.complete)

        monkeypatch.setattr(telemetry, moment, after_a_write)
        monkeypatch.setattr(clock, "sleep", pause)
        assert [entry.message for entry in store.follow_logs(run, operator_id="b")] == ["1", "3", "5"]

    def test_latencies_are_put_together_only_where_they_are_asked_for(
        self, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, histograms = json.loads, list[str]()

        def counted(text: str) -> Any:
            histograms.append(text)
            return read(text)

        run = running(store)
        for number in range(20):
            run.metrics(f"operator-{number}", kind="source", records_in=1, latency_ms=[1, number])
        run.flush()
        monkeypatch.setattr(domain_latency, "json", SimpleNamespace(loads=counted))
        metrics = store.metrics(run)
        assert (metrics.totals.records_in, metrics.group(OperatorKind.SOURCE).total_records) == (20, 20)
        assert (metrics.throughput, metrics.backpressure) == (0, 0)
        run.checkpoint()
        assert histograms == []
        assert store.operator_metrics(run, "operator-7").latency is not None
        assert len(histograms) == 1
        assert metrics.latency is not None
        assert len(histograms) == 21

    def test_a_checkpoint_reads_the_counters_once_and_keeps_histograms_as_they_are(
        self, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        telemetry = type(store.repository.telemetry)
        look, looks = telemetry.metrics_within, list[int]()  # type: ignore[attr-defined]

        def counted(self: Any, connection: sqlite3.Connection, job_id: int) -> Any:
            looks.append(job_id)
            return [replace(subtask, latency_json="[0,  [[3, 1]]]") for subtask in look(self, connection, job_id)]

        monkeypatch.setattr(telemetry, "metrics_within", counted)
        run = running(store, max_attempts=2, retry=AT_ONCE)
        run.metrics("in", records_in=1, latency_ms=1)
        checkpoint = run.checkpoint()
        assert looks == [run.id]
        assert [subtask.latency_json for subtask in checkpoint.counted(0)] == ["[0,  [[3, 1]]]"]
        run.fail("disk gone")
        claimed(store, store.get(run.id))
        (operator,) = store.metrics(run).operators
        assert [subtask.latency_json for subtask in operator.subtasks] == ["[0,  [[3, 1]]]"]

    def test_a_forked_child_notes_nothing_for_the_run_of_its_parent(
        self, store: JobStore, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It holds no lease, and a lock of the run that another thread held at the fork would never be released."""
        logger.addHandler(RunHandler())
        logger.propagate = False
        run = running(store)
        noted: list[object] = []
        monkeypatch.setattr(run, "note", lambda *arguments, **_: noted.append(arguments))
        with run:
            logger.info("in the parent")
            run.log.info("in the parent")
            child = os.fork()
            if not child:
                logger.info("in the child")
                run.log.info("in the child")
                os._exit(len(noted))
            _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == len(noted) == 2

    def test_rows_that_come_back_to_a_full_queue_are_counted_too(
        self, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = running(store)
        for number in range(MAX_OUTPUT_WAITING):
            run.emit("sink", number)

        def too_late(*_: object) -> None:
            for number in range(5):
                run.emit("sink", MAX_OUTPUT_WAITING + number)
            raise StoreBusy("jobs.db", "it is locked")

        with monkeypatch.context() as broken:
            broken.setattr(type(store.repository.reports), "record", too_late)
            with pytest.raises(StoreBusy):
                run.flush()
        run.flush()
        page = store.output(run, limit=1, offset=store.output(run).retained - 1)
        assert (page.total, page.rows[0].record) == (MAX_OUTPUT_WAITING + 5, MAX_OUTPUT_WAITING + 4)
