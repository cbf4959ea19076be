"""What workers report, and what lets a job go on, through a client: the values and errors of the store itself."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import jobstate
from jobstate import JobClient, JobStore, LogLevel, OperatorKind, OperatorState, Run
from jobstate.client import log_stream
from jobstate.domain.errors import JobStateError
from jobstate.http import Settings
from jobstate.ports.queries import LogRange
from jobstate.testing.clock import ManualClock
from tests.adapters.server import serving
from tests.adapters.test_client import later

NAMES = ("source_1", "..", "a/b", "ü ?#%,")
Jobs = JobStore | JobClient


class World:
    """A store, its clock, a client of it, and a run."""

    def __init__(self, store: JobStore, clock: ManualClock, client: JobClient, run: Run) -> None:
        self.store, self.clock, self.client, self.run = store, clock, client, run


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = ManualClock()
    with (
        jobstate.open(tmp_path / "jobs.db", durability="normal", clock=clock, keep_logs=40) as store,
        serving(store, Settings(sweep_every=3600)) as server,
        jobstate.connect(server.url, actor="test:client") as client,
    ):
        store.submit("extract", {"topic": "clicks"}, key="k", parallelism=4)
        (run,) = store.claim("worker-01", lease=86_400)
        yield World(store, clock, client, run)
        assert store.audit().ok


def everything_reported(world: World) -> None:
    run = world.run
    for number, name in enumerate(NAMES):
        for subtask in range(2):
            run.metrics(
                name,
                kind=list(OperatorKind)[number % 3],
                name=f"Name {number}",
                subtask=subtask,
                records_in=number * 2**40,
                records_out=3,
                backpressure=0.1 * number,
                idle=1.5,
                latency_ms=[1.0, 2.5] if number else (),
            )
        run.log.info("entry %d", number, operator_id=name, task_index=number, details={"ü": [number, None]})
        run.log.warning("warned\n%d", number, details="text")
        run.log.error("failed", record='{"bad json')
        run.emit(name, {"id": number, "big": 2**70})
        run.emit(name, None)
        world.clock.advance(timedelta(microseconds=1_000_001))
    run.add_range("blocks", 0, 9)
    run.checkpoint(state={"offset": 10}, backend="files", location="s3://x")
    run.fail_checkpoint(run.begin_checkpoint(), "no space")
    run.checkpoint(operators=[OperatorState("source_1", 20, "Kafka", {0: 5, 1: 15})])
    run.begin_checkpoint()


def test_what_was_reported_arrives_whole(world: World) -> None:
    everything_reported(world)
    store, client = world.store, world.client
    assert client.metrics(1) == store.metrics(1)
    assert client.metrics(1).totals == store.metrics(1).totals
    assert client.metrics(1).throughput == store.metrics(1).throughput > 0
    for name in NAMES:
        assert client.operator_metrics(1, name) == store.operator_metrics(1, name)
        assert client.output(1, operator_id=name) == store.output(1, operator_id=name)
        assert client.logs(1, operator_id=name) == store.logs(1, operator_id=name)
    assert client.logs(1) == store.logs(1)
    assert client.errors(1) == store.errors(1)
    assert client.output(1) == store.output(1)
    assert client.checkpoints(1) == store.checkpoints(1)
    for checkpoint in store.checkpoints(1):
        again = client.checkpoint(1, checkpoint)
        assert again == client.checkpoint(1, checkpoint.id) == checkpoint
        assert (type(again.status), again.progress) == (type(checkpoint.status), checkpoint.progress)
    (entry, *_), (operator, *_) = client.logs(1), client.metrics(1).operators
    assert (type(entry.level), type(operator.kind), type(operator.subtasks[0].counters)) == (
        LogLevel,
        OperatorKind,
        jobstate.Counters,
    )


def test_a_job_that_reported_nothing_has_nothing(world: World) -> None:
    store, client = world.store, world.client
    assert client.metrics(1) == store.metrics(1)
    assert client.logs(1) == store.logs(1) == client.errors(1)
    assert client.output(1) == store.output(1)
    assert len(client.logs(1)) == len(client.output(1)) == 0
    assert client.checkpoints(1) == []


START = datetime(2024, 1, 1, tzinfo=UTC)
PAGES: list[tuple[str, dict[str, Any]]] = [
    ("logs", {"level": "info"}),
    ("logs", {"level": ["warn", "error"]}),
    ("logs", {"level": ["info", "WARNING"]}),
    ("logs", {"task_index": 2}),
    ("logs", {"operator_id": "nobody"}),
    ("logs", {"since": START + timedelta(microseconds=1_000_001)}),
    ("logs", {"since": START + timedelta(microseconds=1_000_002)}),
    ("logs", {"until": START + timedelta(microseconds=2_000_002), "limit": 2}),
    ("logs", {"since": datetime(1000, 1, 1, tzinfo=UTC), "until": datetime(9999, 1, 1, tzinfo=UTC)}),
    ("logs", {"limit": 3}),
    ("logs", {"limit": 3, "before": 6}),
    ("logs", {"limit": 3, "after": 0}),
    ("logs", {"after": 9}),
    ("logs", {"after": 2, "before": 5}),
    ("errors", {"level": "warning"}),
    ("errors", {"level": "error", "limit": 2}),
    ("errors", {"limit": 2, "before": 6}),
    ("output", {"limit": 3, "offset": 2}),
    ("output", {"offset": 10_000}),
    ("output", {"operator_id": "nobody"}),
    ("checkpoint_slice", {"completed": True}),
    ("checkpoint_slice", {"completed": False}),
    ("checkpoint_slice", {"limit": 1, "offset": 1}),
    ("checkpoints", {"limit": 2}),
]


def test_every_filter_selects_the_same(world: World) -> None:
    everything_reported(world)
    for verb, asked in PAGES:
        assert getattr(world.client, verb)(1, **asked) == getattr(world.store, verb)(1, **asked), (verb, asked)


def test_a_restart_and_a_rescale_come_to_the_same_as_on_the_store(world: World) -> None:
    everything_reported(world)
    client, store = world.client, world.store
    assert client.rescale(1, 8, reason="more") == store.get(1)
    assert (store.get(1).rescale_to, store.get(1).actor, store.get(1).reason) == (8, "test:client", "more")
    world.run.fail("disk gone", retryable=False)
    restarted = client.restart(1, "chk_1", parallelism=2, actor="ana", reason="new disk")
    assert restarted == store.get(2)
    assert (restarted.restarted_from, restarted.parallelism, restarted.actor) == (1, 2, "ana")
    assert client.checkpoints(2)[0].state == {"offset": 10}
    store.stop(2, mode="force")
    assert client.restart(store.get(1)).id == 3
    assert client.checkpoints(3)[0].operator_states == store.checkpoint(1, 3).operator_states


REFUSED: list[Callable[[Jobs], object]] = [
    lambda jobs: jobs.metrics(99),
    lambda jobs: jobs.metrics(0),
    lambda jobs: jobs.operator_metrics(99, "a"),
    lambda jobs: jobs.operator_metrics(1, "nobody"),
    lambda jobs: jobs.operator_metrics(1, ""),
    lambda jobs: jobs.logs(99),
    lambda jobs: jobs.logs(1, level="loud"),  # type: ignore[arg-type]
    lambda jobs: jobs.logs(1, level=[]),
    lambda jobs: jobs.logs(1, limit=0),
    lambda jobs: jobs.logs(1, limit=1001),
    lambda jobs: jobs.logs(1, before=0),
    lambda jobs: jobs.logs(1, after=-1),
    lambda jobs: jobs.logs(1, operator_id="a\nb"),
    lambda jobs: jobs.logs(1, task_index=-1),
    lambda jobs: jobs.logs(1, since=datetime(2030, 1, 1)),  # noqa: DTZ001
    lambda jobs: jobs.errors(99),
    lambda jobs: jobs.errors(1, level="info"),
    lambda jobs: jobs.output(99),
    lambda jobs: jobs.output(1, limit=0),
    lambda jobs: jobs.output(1, offset=-1),
    lambda jobs: jobs.output(1, operator_id=""),
    lambda jobs: jobs.checkpoints(99),
    lambda jobs: jobs.checkpoints(1, limit=0),
    lambda jobs: jobs.checkpoint_slice(1, offset=-1),
    lambda jobs: jobs.checkpoint(1, 99),
    lambda jobs: jobs.checkpoint(1, "newest"),
    lambda jobs: jobs.checkpoint(99, 1),
    lambda jobs: jobs.follow_logs(99),
    lambda jobs: jobs.follow_logs(1, level="loud"),  # type: ignore[arg-type]
    lambda jobs: jobs.follow_logs(1, after=-1),
    lambda jobs: jobs.restart(99),
    lambda jobs: jobs.restart(1),
    lambda jobs: jobs.restart(2, 99),
    lambda jobs: jobs.restart(2, parallelism=0),
    lambda jobs: jobs.restart(2, "newest"),
    lambda jobs: jobs.rescale(99, 2),
    lambda jobs: jobs.rescale(1, 0),
    lambda jobs: jobs.rescale(2, 2),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobStore, JobClient]]:
    path = tmp_path_factory.mktemp("shared") / "jobs.db"
    with (
        jobstate.open(path, durability="normal") as store,
        serving(store, Settings(sweep_every=3600)) as server,
        jobstate.connect(server.url) as client,
    ):
        store.submit("load")
        store.stop(store.submit("load"), mode="force")
        yield store, client


@pytest.mark.parametrize(
    "call", REFUSED, ids=lambda call: inspect.getsource(call).strip().removeprefix("lambda jobs: ")
)
def test_what_the_store_refuses_the_client_refuses_in_the_same_words(
    shared: tuple[JobStore, JobClient], call: Callable[[Jobs], object]
) -> None:
    store, client = shared
    with pytest.raises(JobStateError) as expected:
        call(store)
    with pytest.raises(JobStateError) as found:
        call(client)
    assert (type(found.value), str(found.value)) == (type(expected.value), str(expected.value))
    assert vars(found.value) == vars(expected.value)


def test_a_server_steps_over_ten_thousand_rows_at_most(world: World) -> None:
    with pytest.raises(jobstate.InvalidRequest, match="offset: must be at most 10000"):
        world.client.output(1, offset=10_001)


def test_following_a_log_goes_on_until_the_job_has_ended(world: World) -> None:
    world.run.log.info("one")
    world.run.log.info("two")
    world.run.flush()
    told = world.client.follow_logs(1, after=1)
    assert next(told).message == "two"

    def end() -> None:
        world.run.log.warning("three")
        world.run.complete()

    ending = later(end)
    assert [entry.message for entry in told] == ["three"]
    ending.join()
    assert [entry.message for entry in world.client.follow_logs(1, level="warn")] == ["three"]


def test_following_a_log_looks_at_each_entry_once_and_passes_over_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = type(world.store.repository.telemetry)
    looks: list[int] = []

    def logs(self: Any, job_id: int, wanted: Any, place: LogRange, look: Any = telemetry.logs) -> Any:
        assert place.after is not None
        looks.append(place.after)
        return look(self, job_id, wanted, place)

    def log_extent(self: Any, job_id: int, look: Any = telemetry.log_extent) -> Any:
        if len(looks) == 2:  # between two parts of the same answer
            world.run.log.info("five", operator_id="b")
            world.run.flush()
        return look(self, job_id)

    for number in range(3):
        world.run.log.info("%d", number, operator_id="a")
    world.run.flush()
    monkeypatch.setattr(telemetry, "logs", logs)
    monkeypatch.setattr(telemetry, "log_extent", log_extent)
    told = world.client.follow_logs(1, operator_id="b")

    def work() -> None:
        while not looks:
            time.sleep(0.01)
        world.run.log.info("four", operator_id="a")
        world.run.flush()
        while len(looks) < 4:
            time.sleep(0.01)
        world.run.complete()

    working = later(work)
    assert [entry.message for entry in told] == ["five"]
    working.join()
    assert looks[:3] == [0, 3, 4]


def test_following_a_log_of_many_pages_misses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        world.run.log.info("%d", number, operator_id="a" if number % 2 else "b")
    world.run.complete()
    monkeypatch.setattr(log_stream, "MAX_PAGE", 4)
    assert [entry.message for entry in world.client.follow_logs(1, operator_id="a")] == [*map(str, range(1, 30, 2))]


def test_following_the_log_of_a_job_that_is_removed_ends(world: World) -> None:
    world.run.log.info("one")
    world.run.flush()
    told = world.client.follow_logs(1)
    assert next(told).message == "one"
    world.store.stop(1, mode="force")
    world.store.delete(1)
    assert list(told) == []


def test_following_a_log_outlives_its_server(tmp_path: Path) -> None:
    with jobstate.open(tmp_path / "jobs.db", durability="normal") as store:
        store.submit("extract")
        (run,) = store.claim("worker-01", lease=3600)
        run.log.info("one")
        run.flush()
        with serving(store, Settings(sweep_every=3600)) as server:
            port = server.port
            told = jobstate.connect(server.url).follow_logs(1)
            assert next(told).message == "one"
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(entry.message for entry in told))
        reader.start()
        time.sleep(1.5)  # longer than a call by itself outlasts
        assert reader.is_alive()
        run.log.info("two")
        run.complete()
        with serving(store, Settings(sweep_every=3600), port=port):
            reader.join(timeout=30)
        assert said == ["two"]
