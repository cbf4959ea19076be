"""The pytest plugin: fixtures, options, and the histories of a failing test.

It imports the store only when a test requests one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from jobstate.aio import AsyncJobStore
    from jobstate.store.job_store import JobStore
    from jobstate.system import Clock
    from jobstate.testing.clock import ManualClock
    from jobstate.testing.job_states import JobIn
    from jobstate.testing.processes import StartWorker
    from jobstate.testing.runner import Drain, Handlers, RunOne
    from jobstate.testing.staged_store import Stage

KINDS_OF_STORE: Final = ("memory", "file")
MARKER: Final = "jobstate"
_PROCESS: Final = "jobstate_worker_process"
pytest.register_assert_rewrite("jobstate.testing.contract")
_stage_key: Final = pytest.StashKey["Stage"]()
_starter_key: Final = pytest.StashKey["StartWorker"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--jobstate-store`, and `jobstate_store` and `jobstate_short_names` in the configuration."""
    parser.getgroup("jobstate").addoption(
        "--jobstate-store",
        choices=KINDS_OF_STORE,
        help="Where jobstate_store keeps its jobs: memory (default) or file.",
    )
    parser.addini("jobstate_store", "Where jobstate_store keeps its jobs: memory or file.", default=KINDS_OF_STORE[0])
    parser.addini(
        "jobstate_short_names",
        "Also offer the fixtures as jobs, aio_jobs, clock, job_in, run_one, drain and worker_process.",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the short names if the project configures them."""
    config.addinivalue_line(
        "markers", f"{MARKER}(store='memory', **options): the store of this test, and options of jobstate.open."
    )
    if config.getini("jobstate_store") not in KINDS_OF_STORE:
        raise pytest.UsageError(f"jobstate_store must be one of {', '.join(KINDS_OF_STORE)}")
    if config.getini("jobstate_short_names"):
        from jobstate.testing import short_names

        config.pluginmanager.register(short_names, "jobstate-short-names")


@pytest.fixture
def jobstate_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage that the other fixtures share: store, clock and faults; see `jobstate.testing.Stage`."""
    from jobstate.system import SystemClock
    from jobstate.testing.staged_store import staged

    kind, options = _wanted(request)
    target = ":memory:" if kind == KINDS_OF_STORE[0] else tmp_path_factory.mktemp("jobstate") / "jobs.db"
    clock: Clock | None = SystemClock() if _PROCESS in request.fixturenames else None
    with staged(target, **{"clock": clock, **options}) as stage:
        request.node.stash[_stage_key] = stage
        yield stage
        del request.node.stash[_stage_key]


@pytest.fixture
def jobstate_store(jobstate_stage: Stage) -> JobStore:
    """A new, empty store: the SQL of production, in memory or in a file, with `jobstate_clock`."""
    return jobstate_stage.store


@pytest.fixture
def jobstate_aio_store(jobstate_stage: Stage) -> Iterator[AsyncJobStore]:
    """`jobstate_store`, awaited, for the event loop of the test: that of a plugin or of `asyncio.run`."""
    import asyncio
    import threading

    from jobstate.aio import over

    jobs = over(jobstate_stage.store)
    yield jobs
    closing = threading.Thread(target=lambda: asyncio.run(jobs.close()))  # a loop may still exist in this thread
    closing.start()
    closing.join()


@pytest.fixture
def jobstate_clock(jobstate_stage: Stage) -> ManualClock:
    """The clock of the store, which moves only with `jobstate_clock.advance("31s")`."""
    return jobstate_stage.manual_clock


@pytest.fixture
def jobstate_job_in(jobstate_stage: Stage) -> JobIn:
    """`jobstate_job_in("Stopping")`: a new job in that state, brought there by legal steps."""
    from jobstate.testing.job_states import JobIn

    return JobIn(jobstate_stage)


@pytest.fixture
def jobstate_handlers() -> Handlers:
    """The handlers of `jobstate_run_one` and `jobstate_drain`; override the fixture, or pass handlers to each call."""
    return {}


@pytest.fixture
def jobstate_run_one(jobstate_stage: Stage, jobstate_handlers: Handlers) -> RunOne:
    """`jobstate_run_one()`: run the next job, in this thread; see `jobstate.testing.run_one`."""
    from jobstate.testing.runner import RunOne

    return RunOne(jobstate_stage, jobstate_handlers)


@pytest.fixture
def jobstate_drain(jobstate_stage: Stage, jobstate_handlers: Handlers) -> Drain:
    """`jobstate_drain()`: run jobs, in this thread, until none is due; see `jobstate.testing.drain`."""
    from jobstate.testing.runner import Drain

    return Drain(jobstate_stage, jobstate_handlers)


@pytest.fixture
def jobstate_worker_process(
    request: pytest.FixtureRequest, jobstate_stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartWorker]:
    """`jobstate_worker_process("tasks:HANDLERS")`: a real worker process, killed at the end.

    The store is then in a file, with the clock of the machine.
    """
    from jobstate.testing.processes import StartWorker

    starter = StartWorker(jobstate_stage.direct, tmp_path_factory.mktemp("jobstate-workers"))
    request.node.stash[_starter_key] = starter
    try:
        yield starter
    finally:
        starter.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the histories of its jobs to the report of a failed test."""
    report = yield
    stage = item.stash.get(_stage_key, None)
    if report.failed and stage is not None:
        report.sections += _sections(stage, item.stash.get(_starter_key, None))
    return report


def _sections(stage: Stage, starter: StartWorker | None) -> Iterator[tuple[str, str]]:
    from jobstate.testing.histories import histories

    try:
        text = list(histories(stage.direct))
    except Exception as error:  # noqa: BLE001  (an incomplete report must not end the session)
        text = [f"cannot be read: {error}"]
    if stage.fault_log:
        yield "jobstate: faults that occurred", "\n".join(stage.fault_log)
    if text:
        yield "jobstate: histories of the jobs", "\n".join(text)
    for worker in starter.started if starter is not None else ():
        yield f"jobstate: worker {worker.node_id}, process {worker.pid}", worker.output


def _wanted(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, Any]]:
    """The kind of store for this test, and options of `jobstate.open`."""
    config = request.config
    kind = config.getoption("jobstate_store") or config.getini("jobstate_store")
    with_process = _PROCESS in request.fixturenames
    if with_process:
        kind = "file"
    marker = request.node.get_closest_marker(MARKER)
    if marker is None:
        return kind, {}
    if marker.args:
        raise pytest.UsageError(f"the marker {MARKER} takes keywords only, such as {MARKER}(store='file')")
    options = dict(marker.kwargs)
    kind = options.pop("store", kind)
    if kind not in KINDS_OF_STORE or (with_process and kind != "file"):
        needed = "file for a worker process" if with_process else f"one of {', '.join(KINDS_OF_STORE)}"
        raise pytest.UsageError(f"the marker {MARKER}: store must be {needed}, not {kind!r}")
    return kind, options
