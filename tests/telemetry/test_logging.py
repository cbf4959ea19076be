"""Log records name the run that they belong to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from jobstate import JobStore, Run
from jobstate.telemetry.logging import RunContext, run_context
from jobstate.testing.contract.situations import AT_ONCE, running, submitted

FORMAT = "%(name)s job=%(job_id)s kind=%(kind)s attempt=%(attempt)s node=%(node)s token=%(token)s %(message)s"


class Lines(logging.Handler):
    """Formatted lines, as a handler of an application would write them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def written() -> Iterator[Lines]:
    """What is logged anywhere."""
    lines = Lines()
    lines.addFilter(RunContext())
    root = logging.getLogger()
    before = root.level
    root.addHandler(lines)
    root.setLevel(logging.INFO)
    yield lines
    root.setLevel(before)
    root.removeHandler(lines)


def test_records_within_the_block_of_a_run_carry_it_and_others_the_default(store: JobStore, written: Lines) -> None:
    app = logging.getLogger("app")
    run = running(store, kind="extract")
    app.info("before")
    with run:
        app.info("within")
        nested = running(store, kind="load")
        with nested:
            app.info("nested")
        app.info("within again")
    app.info("after")
    assert [line for line in written.lines if line.startswith("app")] == [
        "app job=- kind=- attempt=- node=- token=- before",
        "app job=1 kind=extract attempt=1 node=worker-01 token=1 within",
        "app job=2 kind=load attempt=1 node=worker-01 token=1 nested",
        "app job=1 kind=extract attempt=1 node=worker-01 token=1 within again",
        "app job=- kind=- attempt=- node=- token=- after",
    ]


def test_records_of_jobstate_about_a_run_name_it_also_after_its_block(store: JobStore, written: Lines) -> None:
    run = running(store, kind="extract")
    with run:
        raise ConnectionError("node went away")
    (line,) = [line for line in written.lines if line.startswith("jobstate.worker")]
    assert line.startswith("jobstate.worker job=1 kind=extract attempt=1 node=worker-01 token=1 job 1 failed")


def test_records_of_a_worker_about_a_run_name_it_from_other_threads(store: JobStore, written: Lines) -> None:
    submitted(store, kind="extract")
    with store.worker("w", until_idle=True) as worker:
        for run in worker:
            assert isinstance(run, Run)
            break
    lines = [line for line in written.lines if "handed back" in line]
    assert len(lines) == 2
    assert all(line.startswith("jobstate.worker job=1 kind=extract attempt=1 node=w token=1 ") for line in lines)


def test_the_log_of_a_run_carries_it_from_every_thread(store: JobStore, written: Lines) -> None:
    run = running(store, kind="extract")
    other = threading.Thread(target=lambda: run.log.info("from beside", extra={"node": "mine"}))
    other.start()
    other.join()
    assert written.lines == ["jobstate.run job=1 kind=extract attempt=1 node=mine token=1 from beside"]


def test_attempt_and_token_are_those_of_the_present_run(store: JobStore, written: Lines) -> None:
    job = submitted(store, kind="extract", retry=AT_ONCE)
    for _ in range(2):
        (run,) = store.claim("worker-01")
        with run:
            logging.getLogger("app").info("at it")
            raise ConnectionError
    assert [line.split("attempt=")[1] for line in written.lines if line.startswith("app")] == [
        "1 node=worker-01 token=1 at it",
        "2 node=worker-01 token=3 at it",
    ]
    assert store.get(job).attempt == 2


def test_the_default_may_be_another(store: JobStore) -> None:
    record = logging.makeLogRecord({"msg": "hello"})
    assert RunContext(default=None).filter(record)
    assert vars(record)["job_id"] is None


def test_structlog_events_are_bound_likewise(store: JobStore) -> None:
    assert run_context(None, "info", {"event": "hello"}) == {"event": "hello"}
    with running(store, kind="extract") as run:
        bound = run_context(None, "info", {"event": "hello", "node": "mine"})
    facts = {"job_id": 1, "kind": "extract", "attempt": 1, "node": "mine", "token": run.token}
    assert bound == {"event": "hello", **facts}
