"""How the tests run: which of them, on how many processes, and which by themselves; `README.md` beside it says why."""

from __future__ import annotations

import fcntl
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

FOLDER: Final = Path(__file__).parent
WORKERS: Final = 3
"""One more than the two cores that the suite is measured on: a third of the time a test waits for a disk or a timer."""
FULL_SUITE_ONLY: Final = "slow"
ALONE: Final = "alone"
_cpu_key: Final = pytest.StashKey[float]()
_shared_key: Final = pytest.StashKey[Path]()
_LOCK: Final = "lock"
_BYTE_CODE: Final = "byte-code"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all` and `--cpu-by-folder`."""
    group = parser.getgroup("jobstate's own suite")
    group.addoption("--all", dest="full_suite", action="store_true", help="Run the full suite, not the everyday suite.")
    group.addoption("--cpu-by-folder", action="store_true", help="Show the processor seconds of each folder.")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run a whole suite on several processes, where pytest-xdist is there and the command line says nothing else."""
    option = config.option
    if hasattr(config, "workerinput"):  # one of those processes
        return
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    if whole and not option.collectonly and not option.usepdb and getattr(option, "numprocesses", 0) is None:
        option.numprocesses = WORKERS
        option.dist = "worksteal" if option.dist == "no" else option.dist


def pytest_configure(config: pytest.Config) -> None:
    """Name the folder that the processes of this run share, and count what they report."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_shared_key] = Path(worker["jobstate_shared"])
        return
    shared = config.stash[_shared_key] = Path(tempfile.mkdtemp(prefix="jobstate-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(shared, ignore_errors=True))
    if config.getoption("--cpu-by-folder"):
        config.pluginmanager.register(CpuByFolder())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process of pytest-xdist which folder this run has."""
    node.workerinput["jobstate_shared"] = str(node.config.stash[_shared_key])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the full suite runs, and put last what runs alone.

    With `-m`, and for tests that are named one by one, the command line decides what is run.
    """
    if not (config.option.full_suite or config.option.markexpr or any("::" in named for named in config.args)):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(FULL_SUITE_ONLY)])
        items[:] = [item for item in items if not item.get_closest_marker(FULL_SUITE_ONLY)]
    items.sort(key=lambda item: item.get_closest_marker(ALONE) is not None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """While a test runs that is marked `alone`, the other processes of this run wait."""
    with _locked(item.config.stash[_shared_key] / _LOCK, alone=item.get_closest_marker(ALONE) is not None):
        before = _cpu()
        item.stash[_cpu_key] = before
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Each report carries the processor seconds of its phase to the process that sums them up."""
    report = yield
    now = _cpu()
    report.__dict__["cpu_seconds"] = now - item.stash[_cpu_key]
    item.stash[_cpu_key] = now
    return report


class CpuByFolder:
    """Sums up processor seconds by folder of `tests/`."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._tests: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one phase of one test."""
        folder = report.nodeid.removeprefix("tests/").split("/")[0]
        self._seconds[folder] += getattr(report, "cpu_seconds", 0.0)
        self._tests[folder] += report.when == "call"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """One row for each folder, the heaviest first."""
        terminalreporter.section("processor seconds by folder")
        for folder, seconds in sorted(self._seconds.items(), key=lambda row: -row[1]):
            terminalreporter.line(f"{folder:16} {seconds:7.1f} s {self._tests[folder]:6} tests")
        terminalreporter.line(f"{'together':16} {sum(self._seconds.values()):7.1f} s {self._tests.total():6} tests")


@contextmanager
def _locked(path: Path, *, alone: bool) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _cpu() -> float:
    """Processor seconds of this process and of those that it started and waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


@pytest.fixture(scope="session", autouse=True)
def _processes_share_their_byte_code(pytestconfig: pytest.Config) -> Iterator[None]:
    """Where Python writes no byte code, each of the hundreds of processes that tests start would compile jobstate."""
    with pytest.MonkeyPatch.context() as environment:
        if sys.dont_write_bytecode:
            environment.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            environment.setenv("PYTHONPYCACHEPREFIX", str(pytestconfig.stash[_shared_key] / _BYTE_CODE))
        yield


@pytest.fixture(scope="session", autouse=True)
def _processes_hear_ctrl_c() -> None:
    """A shell starts its background processes with SIGINT ignored, and every process that they start inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
