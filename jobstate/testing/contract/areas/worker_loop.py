"""The worker: a loop or handlers on threads, with a heartbeat thread. Uses the clock of the machine."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

import pytest

from jobstate import (
    Fatal,
    InvalidRequest,
    Job,
    JobStopping,
    JobStore,
    LeaseLost,
    Observer,
    RetryPolicy,
    Run,
    State,
    StopOutcome,
    SystemClock,
    Transition,
    Worker,
)
from jobstate.core.arguments import ModeWord
from jobstate.domain.job import row_of
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import triggers
from jobstate.worker.run import control_of

PATIENCE = 20.0
"""Seconds after which something that should have happened long ago is given up."""
AT_ONCE = RetryPolicy(initial=0, jitter=0)

Handler = Callable[[Run], None]


class Serving:
    """A worker that serves handlers on a thread, as long as the block lasts."""

    def __init__(self, worker: Worker, handlers: dict[str, Handler], concurrency: int = 1) -> None:
        self.worker = worker
        self.raised: list[BaseException] = []
        self.thread = threading.Thread(target=self._serve, args=(handlers, concurrency))

    def _serve(self, handlers: dict[str, Handler], concurrency: int) -> None:
        try:
            self.worker.serve(handlers, concurrency)
        except BaseException as error:
            self.raised.append(error)

    def __enter__(self) -> Serving:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.shut_down()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert self.raised == []


def until_seen(run: Run, patience: float = PATIENCE) -> None:
    """Work in small steps, as a handler should, until asked to end."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        run.raise_if_stopping()
        time.sleep(0.002)
    pytest.fail("the handler was never asked to end")


def meet(barrier: threading.Barrier) -> None:
    barrier.wait(PATIENCE)


def ended(store: JobStore, job: Job) -> Job:
    return store.wait(job, timeout=PATIENCE)


# The loop.


def test_a_loop_runs_every_job_in_order_and_ends_when_idle(ticking: JobStore, quiet: None) -> None:
    jobs = ticking.submit_many({"kind": "extract", "priority": -number} for number in range(5))
    seen = []
    with ticking.worker("worker-01", until_idle=True) as worker:
        for run in worker:
            with run:
                seen.append(run.id)
                run.set_progress("blocks", files_count=run.id)
    assert seen == [job.id for job in reversed(jobs)]
    for job in jobs:
        assert ticking.get(job).state is State.COMPLETED
        assert ticking.progress(job)["blocks"].files_count == job.id
        assert triggers(ticking, job) == ["submit", "claim", "complete"]


def test_a_failed_run_is_tried_again_by_the_loop_and_a_fatal_one_is_not(ticking: JobStore) -> None:
    flaky = ticking.submit("flaky", retry=AT_ONCE, max_attempts=3)
    broken = ticking.submit("broken", max_attempts=3)
    attempts = []
    with ticking.worker("worker-01", until_idle=True) as worker:
        for run in worker:
            with run:
                attempts.append((run.job.kind, run.job.attempt))
                if run.job.kind == "broken":
                    raise Fatal("no such dataset")
                if run.job.attempt < 3:
                    raise OSError("disk gone")
    assert sorted(attempts) == [("broken", 1), ("flaky", 1), ("flaky", 2), ("flaky", 3)]
    assert ticking.get(flaky).state is State.COMPLETED
    assert ticking.get(broken).state is State.FAILED


def test_a_run_that_the_loop_leaves_unsettled_is_handed_back_with_a_warning(
    ticking: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    job = ticking.submit("extract")
    with ticking.worker("worker-01", until_idle=True) as worker:
        for run in worker:
            assert run.id == job.id
            if run.job.attempt == 2:
                run.complete()
    assert triggers(ticking, job) == ["submit", "claim", "release", "claim", "complete"]
    assert ticking.get(job).failures == 0
    assert any("unsettled" in record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)


def test_leaving_the_loop_early_hands_the_job_back(ticking: JobStore) -> None:
    job = ticking.submit("extract")
    with ticking.worker("worker-01") as worker:
        for run in worker:
            assert run.id == job.id
            break
    assert ticking.get(job).state is State.SCHEDULED
    assert triggers(ticking, job)[-1] == "release"


def test_an_error_in_the_body_outside_of_the_run_is_raised_and_hands_the_job_back(ticking: JobStore) -> None:
    job = ticking.submit("extract")
    with pytest.raises(ZeroDivisionError), ticking.worker("worker-01") as worker:
        for _ in worker:
            raise ZeroDivisionError
    assert triggers(ticking, job)[-1] == "release"


def test_a_worker_is_listed_while_it_works_and_not_after(ticking: JobStore) -> None:
    ticking.submit("extract")
    with ticking.worker("worker-01", kinds=["extract"], until_idle=True) as worker:
        for run in worker:
            with run:
                (info,) = ticking.workers()
                assert (info.node_id, info.kinds, info.concurrency) == ("worker-01", ("extract",), 1)
    assert list(ticking.workers()) == []


def test_a_worker_is_used_inside_of_its_block(ticking: JobStore) -> None:
    with pytest.raises(InvalidRequest):
        next(iter(ticking.worker("worker-01")))


# Handlers.


def test_handlers_are_chosen_by_kind_and_other_kinds_are_left_alone(ticking: JobStore) -> None:
    seen: list[str] = []
    handlers: dict[str, Handler] = {"a": lambda run: seen.append("a"), "b": lambda run: seen.append("b")}
    done = [ticking.submit("a"), ticking.submit("b")]
    left = ticking.submit("c")
    ticking.worker("worker-01", until_idle=True).serve(handlers)
    assert seen == ["a", "b"]
    assert [ticking.get(job).state for job in done] == [State.COMPLETED] * 2
    assert ticking.get(left).state is State.SCHEDULED


def test_a_handler_that_raises_fails_its_run_and_not_the_worker(ticking: JobStore) -> None:
    def handle(run: Run) -> None:
        if run.job.descriptor.get("bad"):
            raise ValueError("bad input")

    bad = ticking.submit("extract", {"bad": True}, retry=RetryPolicy(fatal=(ValueError,)))
    good = ticking.submit("extract")
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle})
    assert ticking.get(good).state is State.COMPLETED
    failed = ticking.get(bad)
    assert failed.state is State.FAILED
    assert failed.failure is not None
    assert (failed.failure.message, failed.failure.domain) == ("bad input", "ValueError")


def test_a_new_job_is_begun_at_once_by_an_idle_worker(ticking: JobStore) -> None:
    with Serving(ticking.worker("worker-01"), {"extract": lambda run: None}):
        for _ in range(3):
            job = ticking.submit("extract")
            assert ended(ticking, job).state is State.COMPLETED


def test_four_jobs_run_at_the_same_time(ticking: JobStore, quiet: None) -> None:
    together = threading.Barrier(4)
    jobs = ticking.submit_many({"kind": "extract"} for _ in range(8))
    ticking.worker("worker-01", until_idle=True).serve({"extract": lambda run: meet(together)}, concurrency=4)
    assert [ticking.get(job).state for job in jobs] == [State.COMPLETED] * 8
    assert all(triggers(ticking, job) == ["submit", "claim", "complete"] for job in jobs)
    assert ticking.audit().ok


def test_no_more_jobs_run_at_once_than_were_asked_for(ticking: JobStore) -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def handle(_: Run) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    ticking.submit_many({"kind": "extract"} for _ in range(9))
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle}, concurrency=3)
    assert 1 < most <= 3
    assert ticking.counts()[State.COMPLETED] == 9


# Stops.


@pytest.mark.parametrize("mode", ["checkpoint", "immediate"])
def test_a_stop_is_noticed_in_well_under_a_second(ticking: JobStore, mode: ModeWord) -> None:
    begun, noticed = threading.Event(), []

    def handle(run: Run) -> None:
        begun.set()
        try:
            until_seen(run)
        except JobStopping as stopping:
            noticed.append(time.monotonic())
            assert stopping.mode == mode
            run.checkpoint(state="last")
            raise

    job = ticking.submit("extract")
    with Serving(ticking.worker("worker-01", lease=30), {"extract": handle}):
        assert begun.wait(PATIENCE)
        asked = time.monotonic()
        assert ticking.stop(job, mode=mode, reason="wrong input").job.state is State.STOP_REQUESTED
        found = ended(ticking, job)
    assert noticed[0] - asked < 0.7
    assert found.state is State.STOPPED
    assert row_of(found).stop_outcome == ("checkpointed" if mode == "checkpoint" else "immediate")
    assert triggers(ticking, job)[-3:] == ["request_stop", "begin_stop", "finish_stop"]


def test_a_request_to_stop_is_not_eaten_by_a_handler_that_catches_exceptions(ticking: JobStore) -> None:
    begun = threading.Event()

    def handle(run: Run) -> None:
        while True:
            begun.set()
            try:
                until_seen(run)
            except Exception:
                continue

    job = ticking.submit("extract")
    with Serving(ticking.worker("worker-01"), {"extract": handle}):
        assert begun.wait(PATIENCE)
        ticking.stop(job)
        assert ended(ticking, job).state is State.STOPPED


def test_a_handler_that_looks_away_completes_in_spite_of_a_stop(ticking: JobStore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def handle(_: Run) -> None:
        begun.set()
        go_on.wait(PATIENCE)

    job = ticking.submit("extract")
    with Serving(ticking.worker("worker-01"), {"extract": handle}):
        assert begun.wait(PATIENCE)
        ticking.stop(job)
        go_on.set()
        assert ended(ticking, job).state is State.COMPLETED


def test_a_job_that_is_stopped_by_force_under_its_handler_does_not_end_the_worker(ticking: JobStore) -> None:
    """A conflict at the end of one job took the whole worker process down, with its other jobs."""
    begun = threading.Event()
    raised: list[BaseException] = []

    def handle(run: Run) -> None:
        if run.id != first.id:
            return
        begun.set()
        try:
            until_seen(run)
        except BaseException as error:
            raised.append(error)
            raise

    first = ticking.submit("extract")
    with Serving(ticking.worker("worker-01"), {"extract": handle}):
        assert begun.wait(PATIENCE)
        ticking.stop(first, mode="force")
        second = ticking.submit("extract")
        assert ended(ticking, second).state is State.COMPLETED
    assert isinstance(raised[0], LeaseLost)
    assert row_of(ticking.get(first)).stop_outcome is StopOutcome.FORCED


def test_a_job_that_is_forced_and_then_ends_in_every_way_does_not_end_the_worker(ticking: JobStore) -> None:
    def handle(run: Run) -> None:
        if run.job.descriptor:
            ticking.stop(run, mode="force")
        if run.job.descriptor.get("end") == "raise":
            raise OSError("disk gone")
        if run.job.descriptor.get("end") == "complete":
            run.complete()

    forced = [ticking.submit("extract", {"end": end}) for end in ("return", "raise", "complete")]
    last = ticking.submit("extract", priority=9)
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle})
    assert [ticking.get(job).state for job in forced] == [State.STOPPED] * 3
    assert ticking.get(last).state is State.COMPLETED
    assert ticking.audit().ok


# The end of `serve`.


def threads_of_handlers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if re.fullmatch(r"jobstate-\d+", thread.name)]


class _Slow(Observer):
    """Takes its time to handle each job that completed."""

    def __init__(self) -> None:
        self.events: list[int] = []

    def transition(self, transition: Transition) -> None:
        if transition.event.to_state is State.COMPLETED:
            time.sleep(0.6)
        self.events.append(transition.event.id)


def test_a_run_whose_end_is_being_written_is_not_lost(open_store: OpenStore, quiet: None) -> None:
    """A heartbeat that met a run between its commit and its end dropped it, and `serve` returned too early."""
    observer = _Slow()
    try:
        store = open_store(observers=[observer], clock=SystemClock())
    except InvalidRequest as refused:
        pytest.skip(f"this store takes no observers: {refused}")
    jobs = [store.submit("extract") for _ in range(2)]
    store.worker("worker-01", until_idle=True).serve({"extract": lambda run: None}, concurrency=2)
    assert threads_of_handlers() == []
    assert max(observer.events) == store.newest_event()
    assert [triggers(store, job) for job in jobs] == [["submit", "claim", "complete"]] * 2


def test_an_idle_worker_ends_after_a_handler_that_completed_its_job_early(ticking: JobStore, quiet: None) -> None:
    ended_handlers = []

    def handle(run: Run) -> None:
        run.complete()
        time.sleep(0.4)
        ended_handlers.append(run.id)

    job = ticking.submit("extract")
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle}, concurrency=2)
    assert ended_handlers == [job.id]
    assert threads_of_handlers() == []


def test_an_idle_worker_ends_after_a_handler_that_lost_its_lease(ticking: JobStore) -> None:
    ended_handlers = []

    def handle(run: Run) -> None:
        ticking.stop(run, mode="force")
        time.sleep(0.4)
        ended_handlers.append(run.id)

    job = ticking.submit("extract")
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle}, concurrency=2)
    assert ended_handlers == [job.id]
    assert threads_of_handlers() == []


def test_a_shutdown_gives_its_time_to_a_handler_that_completed_its_job_early(ticking: JobStore) -> None:
    begun = threading.Event()
    ended_handlers = []

    def handle(run: Run) -> None:
        run.complete()
        begun.set()
        time.sleep(0.4)
        ended_handlers.append(run.id)

    job = ticking.submit("extract")
    with Serving(ticking.worker("worker-01"), {"extract": handle}):
        assert begun.wait(PATIENCE)
    assert ended_handlers == [job.id]
    assert threads_of_handlers() == []


def test_the_loss_of_a_lease_during_a_write_of_its_run_is_seen_soon_after(ticking: JobStore) -> None:
    """The heartbeat does not decide while a write is under way; it reads the lease again after it."""
    seen_after = []

    def handle(run: Run) -> None:
        with control_of(run).writing:  # a write that takes its time
            stopping = threading.Thread(target=lambda: ticking.stop(run, mode="force"))
            stopping.start()
            stopping.join()
            time.sleep(0.3)
            assert not run.lost
        released = time.monotonic()
        while not run.lost and time.monotonic() < released + 5:
            time.sleep(0.005)
        seen_after.append(time.monotonic() - released)

    ticking.submit("extract")
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle})
    assert seen_after[0] < 1


# Leases.


def test_a_lease_is_kept_alive_for_a_handler_that_takes_longer(ticking: JobStore, quiet: None) -> None:
    def handle(run: Run) -> None:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert list(ticking.claim("worker-02")) == []  # which would settle a lease that ran out
            run.raise_if_stopping()
            time.sleep(0.02)

    job = ticking.submit("extract")
    ticking.worker("worker-01", lease=0.3, until_idle=True).serve({"extract": handle})
    assert triggers(ticking, job) == ["submit", "claim", "complete"]


def test_a_stop_at_its_deadline_takes_the_lease_from_a_handler_that_hangs(ticking: JobStore) -> None:
    """A heartbeat must not keep a hung handler's lease alive past the deadline of its stop."""
    begun, go_on = threading.Event(), threading.Event()

    def handle(run: Run) -> None:
        begun.set()
        go_on.wait(PATIENCE)

    job = ticking.submit("extract")
    with Serving(ticking.worker("worker-01", lease=0.3), {"extract": handle}):
        assert begun.wait(PATIENCE)
        ticking.stop(job, timeout=0.1)
        end = time.monotonic() + PATIENCE
        while not ticking.get(job).is_terminal and time.monotonic() < end:
            time.sleep(0.01)  # only the worker's own heartbeat settles it
        found = ticking.get(job)
        go_on.set()
    assert (found.state, row_of(found).stop_outcome) == (State.STOPPED, StopOutcome.TIMED_OUT)
    assert ticking.events(job)[-1].actor == "sweep:worker-01"
    assert ticking.get(job) == found


def test_what_a_handler_reported_is_written_before_its_job_completes(ticking: JobStore) -> None:
    def handle(run: Run) -> None:
        for block in range(200):
            run.add_range("blocks", block, block, files=1, size_bytes=2)

    job = ticking.submit("extract")
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle})
    blocks = ticking.progress(job)["blocks"]
    assert (blocks.files_count, blocks.total_size_bytes, blocks.current_block) == (200, 400, 199)


def test_progress_is_written_about_once_a_second_while_the_handler_works(ticking: JobStore) -> None:
    written = threading.Event()

    def handle(run: Run) -> None:
        run.add_range("blocks", 0, 9)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if ticking.progress(run):
                written.set()
                return
            time.sleep(0.01)

    ticking.submit("extract")
    ticking.worker("worker-01", until_idle=True).serve({"extract": handle})
    assert written.is_set()


# Arguments.


@pytest.mark.parametrize(
    ("handlers", "concurrency", "field"),
    [({}, 1, "handlers"), ({"a": "no callable"}, 1, "handlers"), ({"a": print}, 0, "concurrency")],
)
def test_bad_arguments_of_serve_are_named(
    ticking: JobStore, handlers: dict[str, Handler], concurrency: int, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ticking.worker("worker-01").serve(handlers, concurrency)
    assert refused.value.field == field
    assert list(ticking.workers()) == []
