"""A store of pipelines: jobs that count, log, emit rows and take checkpoints; one that goes on, others that ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from jobstate import JobStore, OperatorState, RetryPolicy, Run
from jobstate.testing.clock import ManualClock

KEEP_LOGS: Final = 30
_AT_ONCE: Final = RetryPolicy(initial=0, jitter=0)


def tell(store: JobStore, clock: ManualClock, night: datetime) -> None:
    """Write them."""
    clock.set(night - timedelta(hours=3))
    store.submit("clicks", {"topic": "clicks"}, pipeline_id="clicks", parallelism=4, retry=_AT_ONCE, key="clicks")
    (broken,) = store.claim("worker-01", lease=86_400)
    _start(broken)
    broken.checkpoint(state={"offset": 250_000})
    clock.advance(60)
    broken.fail(_raised())
    (run,) = store.claim("worker-02", lease=86_400)
    _start(run)
    _checkpoints(run, clock)
    _count(run)
    _say(run, clock)
    _emit(run, clock)
    clock.set(night - timedelta(seconds=30))
    _count(run)
    run.flush()
    for kind, ends in (("nightly", "failed"), ("nightly", "stopped"), ("weekly", "completed")):
        store.submit(kind, {"table": kind}, pipeline_id=kind)
        (ending,) = store.claim("worker-03", kinds=[kind], lease=86_400)
        ending.metrics("copy", records_in=10, records_out=9)
        if ends == "failed":
            ending.checkpoint(state={"row": 5}, size_bytes=1_048_576)
            ending.fail("the disk is full", retryable=False)
        elif ends == "stopped":
            store.stop(ending, mode="immediate", reason="makes room")
            ending.finish_stop()
        else:
            ending.complete()
    store.submit("chatty")
    (chatty,) = store.claim("worker-04", kinds=["chatty"], lease=86_400)
    for number in range(1, 1_235):
        chatty.log.info("row %d", number)
        if number % 400 == 0:
            chatty.log.warning("row %d is empty", number)
    chatty.emit("out", 1)
    chatty.flush()
    store.submit("silent")
    clock.set(night)


def _raised() -> BaseException:
    """An exception with the traceback that it has on any machine."""
    code = compile('raise ConnectionResetError("the broker went away\\nand did not come back")', "tasks.py", "exec")
    try:
        exec(code, {})
    except ConnectionResetError as error:
        assert error.__traceback__ is not None
        return error.with_traceback(error.__traceback__.tb_next)
    raise AssertionError


def _start(run: Run) -> None:
    run.log.info(
        "Connected to Kafka broker",
        operator_id="source_1",
        task_index=0,
        details={"broker": "localhost:9092", "topic": "clicks", "partitions": [0, 1, 2, 3]},
    )


def _checkpoints(run: Run, clock: ManualClock) -> None:
    states = [
        OperatorState("source_1", 524_288, "KafkaSource", dict.fromkeys(range(4), 131_072)),
        OperatorState("an_operator_with_a_rather_long_name_indeed", 1_048_576, "Window", {0: 1_048_576}),
    ]
    point = run.begin_checkpoint(backend="filesystem", location="s3://checkpoints/clicks/epoch_2")
    clock.advance(5)
    run.complete_checkpoint(point, operators=states, size_bytes=1_572_864)
    clock.advance(60)
    run.fail_checkpoint(run.begin_checkpoint(backend="filesystem"), "the bucket is full \x1b[31m(507)")
    clock.advance(60)
    run.begin_checkpoint(backend="filesystem", location="s3://checkpoints/clicks/epoch_4")


def _count(run: Run) -> None:
    for index in range(4):
        run.metrics(
            "source_1",
            kind="source",
            name="KafkaSource",
            subtask=index,
            records_in=250_000,
            records_out=249_000 + index,
            bytes_in=26_214_400,
            idle=timedelta(minutes=9),
        )
    run.metrics("filter_1", name="Filter", records_in=1_000_000, records_out=950_000, warnings=5, backpressure=0.15)
    run.metrics(
        "an_operator_with_a_rather_long_name_indeed",
        kind="sink",
        records_in=950_000,
        records_out=949_999,
        bytes_out=99_614_720,
        errors=1,
        backpressure=0.75,
        latency_ms=[45.0] * 90 + [120.0] * 7 + [2_500.0] * 3,
    )


def _say(run: Run, clock: ManualClock) -> None:
    clock.advance(60)
    run.log.warning("lag is %d", 12_345, operator_id="source_1", task_index=2)
    clock.advance(1)
    run.log.error(
        "Failed to parse JSON of a record that came in from the topic clicks, which is the third one in this minute",
        operator_id="source_1",
        task_index=0,
        details="Invalid JSON at line 1: unexpected character",
        record='{"bad json \x1b[31m',
    )
    clock.advance(1)
    run.log.info("two lines:\n\tthe second, 名前", details={"名前": "データ" * 30, "nothing": None})
    run.log.info("a task without an operator", task_index=3)


def _emit(run: Run, clock: ManualClock) -> None:
    for number in range(1, 4):
        clock.advance(1)
        run.emit("sink_1", {"id": number, "message": f"Test message {number}", "value": 99.99})
    run.emit("sink_2", {"id": 4, "formula": '=HYPERLINK("http://example.org")', "tags": ["a", "b"], "none": None})
    run.emit("sink_2", {"id": 5, **{f"column_{number}": "x" * 20 for number in range(9)}})
    run.emit("debug", "no object")
    run.flush()
