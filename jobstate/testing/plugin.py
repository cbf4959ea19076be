"""The pytest plugin: fixtures, options, and the histories of a failing test.

Nothing of a store is imported before a test asks for one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from jobstate.aio import AsyncJobStore
    from jobstate.store.store import JobStore
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
    """`--jobstate-store`, and the same and `jobstate_short_names` in the configuration."""
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
    """Say what the marker means, and bring the short names where they are wanted."""
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
    """What the other fixtures share: the store, its clock, and the faults that come; see `jobstate.testing.Stage`."""
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
    """An empty store of the test's own: the SQL of production, in memory or in a file, with `jobstate_clock`."""
    return jobstate_stage.store


@pytest.fixture
def jobstate_aio_store(jobstate_stage: Stage) -> Iterator[AsyncJobStore]:
    """`jobstate_store`, awaited, for the event loop of the test; whichever plugin or `asyncio.run` that comes from."""
    import asyncio
    import threading

    from jobstate.aio import over

    jobs = over(jobstate_stage.store)
    yield jobs
    closing = threading.Thread(target=lambda: asyncio.run(jobs.close()))  # beside a loop that may still be there
    closing.start()
    closing.join()


@pytest.fixture
def jobstate_clock(jobstate_stage: Stage) -> ManualClock:
    """The clock of the store, which stands still until `jobstate_clock.advance("31s")`."""
    return jobstate_stage.turned_by_hand


@pytest.fixture
def jobstate_job_in(jobstate_stage: Stage) -> JobIn:
    """`jobstate_job_in("Stopping")`: a new job in that state, brought there by legal steps."""
    from jobstate.testing.job_states import JobIn

    return JobIn(jobstate_stage)


@pytest.fixture
def jobstate_handlers() -> Handlers:
    """The handlers that `jobstate_run_one` and `jobstate_drain` call; a project overrides it, or passes them along."""
    return {}


@pytest.fixture
def jobstate_run_one(jobstate_stage: Stage, jobstate_handlers: Handlers) -> RunOne:
    """`jobstate_run_one()`: run the job that is next, in this thread; see `jobstate.testing.run_one`."""
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

    The store is then in a file, and its clock that of the machine.
    """
    from jobstate.testing.processes import StartWorker

    starter = StartWorker(jobstate_stage.behind, tmp_path_factory.mktemp("jobstate-workers"))
    request.node.stash[_starter_key] = starter
    try:
        yield starter
    finally:
        starter.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what became of its jobs."""
    report = yield
    stage = item.stash.get(_stage_key, None)
    if report.failed and stage is not None:
        report.sections += _sections(stage, item.stash.get(_starter_key, None))
    return report


def _sections(stage: Stage, starter: StartWorker | None) -> Iterator[tuple[str, str]]:
    from jobstate.testing.histories import histories

    try:
        told = list(histories(stage.behind))
    except Exception as error:  # noqa: BLE001  (a report says what it can, and must not end the whole session)
        told = [f"cannot be read: {error}"]
    if stage.journal:
        yield "jobstate: faults that came", "\n".join(stage.journal)
    if told:
        yield "jobstate: histories of the jobs", "\n".join(told)
    for worker in starter.started if starter is not None else ():
        yield f"jobstate: worker {worker.node_id}, process {worker.pid}", worker.output


def _wanted(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, Any]]:
    """The kind of store that this test wants, and options of `jobstate.open`."""
    config = request.config
    kind = config.getoption("jobstate_store") or config.getini("jobstate_store")
    with_process = _PROCESS in request.fixturenames
    if with_process:
        kind = "file"
    marker = request.node.get_closest_marker(MARKER)
    if marker is None:
        return kind, {}
    if marker.args:
        raise pytest.UsageError(f"the marker {MARKER} takes names only, such as {MARKER}(store='file')")
    options = dict(marker.kwargs)
    kind = options.pop("store", kind)
    if kind not in KINDS_OF_STORE or (with_process and kind != "file"):
        needed = "file for a worker process" if with_process else f"one of {', '.join(KINDS_OF_STORE)}"
        raise pytest.UsageError(f"the marker {MARKER}: store must be {needed}, not {kind!r}")
    return kind, options
