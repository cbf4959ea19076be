"""The statements find their rows by the index that was made for them, whatever else the store holds.

The statements are recorded as the store runs them, so that no list of them can go stale. Beside the plan, the work is
counted, in instructions of SQLite's machine: the same on every computer.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import jobstate
from jobstate import JobStore, State
from jobstate.core.arguments import SortWord
from jobstate.domain import validation
from jobstate.domain.lifecycle import LIVE, TERMINAL, StateWord, states_named
from jobstate.storage import connections
from jobstate.testing.clock import ManualClock

ROWS: Final = 5_000
"""Enough that a walk over them costs many times what any statement may."""
PRIORITY_BOUND: Final = 300
"""Instructions that each further priority or kind in the queue may add, however many jobs it has."""
STEP: Final = 25
"""Instructions between two counts."""
CLAIM_BOUND: Final = 15_000
"""Instructions of one claim; one that walks over the rows in its way takes several times as many."""

CLOCK: Final = ManualClock()
WORDS: Final = ("active", "terminal", "error", *(state.value for state in State))


class Statement(NamedTuple):
    sql: str
    values: Any
    plan: list[str]


_LATER: Final = validation.instant(CLOCK.now()) + timedelta(days=1)


def _specs(**fields: Any) -> Callable[[int], dict[str, Any]]:
    return lambda _number: {"kind": "extract", **fields}


SHAPES: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "delayed": _specs(available_at=_LATER, priority=-1),
    "pinned_elsewhere": _specs(node_id="elsewhere", priority=-1),
    "of_another_kind": lambda number: {"kind": "other", "priority": -(number % 3)},
    "delayed_in_many_priorities": lambda number: {
        "kind": "extract",
        "available_at": _LATER,
        "priority": -(number % 50),
    },
    "due": _specs(),
    "finished": _specs(),
    "held_back": _specs(hold=True),
    "running": _specs(),
}


def _build(path: Path, shape: str) -> None:
    with jobstate.open(path, durability="normal", clock=CLOCK, actor="test") as jobs:
        for start in range(0, ROWS, 1000):
            jobs.submit_many(SHAPES[shape](number) for number in range(start, start + 1000))
        if shape == "running":
            for _ in range(ROWS // 1000):
                jobs.claim("w0", limit=1000, lease=3600)
    if shape == "finished":
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(
            "UPDATE jobs SET state = CASE id % 2 WHEN 0 THEN 'Stopped' ELSE 'Failed' END, "
            "trigger = CASE id % 2 WHEN 0 THEN 'halt' ELSE 'fail' END, seq = seq + 1, finished_at = updated_at, "
            "stop_mode = CASE id % 2 WHEN 0 THEN 'force' END, stop_outcome = CASE id % 2 WHEN 0 THEN 'forced' END, "
            'failure = CASE id % 2 WHEN 1 THEN \'{"message": "m", "kind": "fatal", "domain": null, '
            '"traceback": null}\' END'
        )
        connection.close()


@pytest.fixture(scope="module", params=list(SHAPES))
def shaped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("plans") / "jobs.db"
    _build(path, request.param)
    return request.param, path


@pytest.fixture(scope="module", params=["as_created", "analyzed"])
def store(request: pytest.FixtureRequest, shaped: tuple[str, Path]) -> Iterator[tuple[str, JobStore]]:
    shape, template = shaped
    path = template.with_name(f"{request.param}.db")
    shutil.copy(template, path)
    if request.param == "analyzed":
        analyze(path)
    with jobstate.open(path, durability="normal", clock=CLOCK, actor="test") as jobs:
        yield shape, jobs


def analyze(path: Path) -> None:
    """Let SQLite gather statistics, as an operator or another tool may at any time."""
    connection = sqlite3.connect(path)
    connection.execute("ANALYZE")
    connection.close()


class Recorder:
    """What the store ran, how SQLite went about it, and how much work it was."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ran: list[tuple[str, Any]] = []
        self.instructions = 0

    def note(self, sql: str, values: Any = ()) -> None:
        self._ran.append((sql, values))

    def count(self) -> int:
        self.instructions += STEP
        return 0

    @property
    def begun(self) -> int:
        """How many write transactions were begun."""
        return sum(sql.startswith("BEGIN IMMEDIATE") for sql, _ in self._ran)

    @property
    def statements(self) -> list[Statement]:
        """The statements that read or write our tables, with their plans."""
        ran = [(sql, values) for sql, values in self._ran if re.match("SELECT|UPDATE|DELETE|INSERT|WITH", sql)]
        return [Statement(sql, values, plan_of(self._connection, sql, values)) for sql, values in ran]

    def plans(self) -> list[str]:
        return [line for statement in self.statements for line in statement.plan]


def plan_of(connection: sqlite3.Connection, sql: str, values: Any) -> list[str]:
    """The lines of the plan, with the names of tables where the statement gave them others."""
    named = {alias: table for table, alias in re.findall(r'"(\w+)" AS "(\w+)"', sql)}
    rows = sqlite3.Connection.execute(connection, f"EXPLAIN QUERY PLAN {sql}", values)
    return [
        re.sub(r"^(SCAN|SEARCH) (\w+)", lambda found: f"{found[1]} {named.get(found[2], found[2])}", detail)
        for *_, detail in rows
    ]


@contextmanager
def recorded(jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Watch the connection of this thread."""
    own: Any = jobs.repository._engine  # type: ignore[attr-defined]
    connection = own.connections.connection()
    recorder = Recorder(connection)

    def execute(self: sqlite3.Connection, sql: str, values: Any = ()) -> sqlite3.Cursor:
        recorder.note(sql, values)
        return sqlite3.Connection.execute(self, sql, values)

    with monkeypatch.context() as watching:
        watching.setattr(connections.Connection, "execute", execute, raising=False)
        connection.set_progress_handler(recorder.count, STEP)
        try:
            yield recorder
        finally:
            connection.set_progress_handler(None, STEP)


def over(plan: list[str], table: str) -> list[str]:
    """The lines of a plan that read a table."""
    return [line for line in plan if re.match(rf"(SCAN|SEARCH) {table}\b", line)]


def test_a_claim_finds_what_is_due_by_its_index_and_walks_over_nothing_else(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, jobs = store
    bound = CLAIM_BOUND + PRIORITY_BOUND * (50 if shape == "delayed_in_many_priorities" else 1)
    with recorded(jobs, monkeypatch) as idle:
        found = jobs.claim("w1", kinds=["extract", "load"])
    if shape == "due":
        assert len(found) == 1
        found[0].release()
    else:
        assert len(found) == 0
        assert idle.instructions < bound
        jobs.submit("load", priority=5)
    with recorded(jobs, monkeypatch) as claimed:
        (run,) = jobs.claim("w1", kinds=["extract", "load"])
    assert claimed.instructions < bound
    run.release()
    with recorded(jobs, monkeypatch) as several:  # one job may be taken from the head of the queue; several never are
        runs = jobs.claim("w1", kinds=["extract", "load"], limit=2)
    assert several.instructions < bound
    lines = over([*idle.plans(), *claimed.plans(), *several.plans()], "jobs")
    lanes = [line for line in lines if "kind=?" in line]
    assert len(lanes) >= 4  # any node and its own, for the look and for the claim
    whole_range = "(priority=? AND kind=? AND node_id=? AND available_at<?)"
    next_kind = "(priority=? AND kind>?)"
    for line in lanes:
        assert re.match(r"SEARCH jobs USING (COVERING )?INDEX jobs_claimable ", line), line
        assert line.endswith(whole_range), line
    assert any(next_kind in line for line in lines)
    for line in lines:
        assert line.startswith("SEARCH"), line
        assert "jobs_claimable" in line or "INTEGER PRIMARY KEY" in line or "jobs_overdue (" in line, line
    for run in runs:
        run.complete()


def test_statistics_that_were_gathered_while_the_queue_was_empty_do_not_make_later_claims_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal", clock=CLOCK) as jobs:
        jobs.submit_many({"kind": "extract", "hold": True} for _ in range(100))
    analyze(path)
    with jobstate.open(path, durability="normal", clock=CLOCK) as jobs:
        jobs.submit_many(SHAPES["delayed"](number) for number in range(5000))
        due = jobs.submit("extract")
        with recorded(jobs, monkeypatch) as recorder:
            (run,) = jobs.claim("w1", kinds=["extract"])
    assert run.id == due.id
    assert recorder.instructions < CLAIM_BOUND


def test_a_claim_of_any_kind_is_as_cheap(store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch) -> None:
    shape, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        found = jobs.claim("w1")
    for run in found:
        run.release()
    assert len(found) == (1 if shape in {"due", "of_another_kind"} else 0)
    assert recorder.instructions < CLAIM_BOUND


def test_the_lanes_of_a_claim_are_in_order_without_being_sorted(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the merge of the lanes, each of at most `limit` rows, may sort."""
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        for run in jobs.claim("w1", kinds=["extract"], limit=3):
            run.release()
    looks = [statement for statement in recorder.statements if "jobs_claimable" in statement.sql]
    assert looks
    for look in looks:
        lane: str | None = None
        for line in look.plan:
            if found := re.match(r"CO-ROUTINE (lane\d+)", line):
                lane = found[1]
            elif lane is not None and line == f"SCAN {lane}":
                lane = None
            assert lane is None or "TEMP B-TREE" not in line, look.plan


def test_what_is_overdue_is_found_by_its_index(store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch) -> None:
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        assert jobs.sweep() == []
    lines = over(recorder.plans(), "jobs")
    assert lines
    for line in lines:
        assert re.match(r"SEARCH jobs USING (COVERING )?INDEX jobs_overdue \(<expr><\?\)", line), line
    assert not [line for line in recorder.plans() if "TEMP B-TREE" in line]
    assert recorder.instructions < 2000


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("paged", [False, True])
def test_a_page_of_jobs_in_some_states_looks_only_at_those(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch, word: StateWord, paged: bool
) -> None:
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        page = jobs.list(word, limit=20, after=ROWS // 2 if paged else None)
    assert len(page.jobs) <= 20
    states = states_named(word)
    assert states is not None
    lines = [line for line in over(recorder.plans(), "jobs") if "INTEGER PRIMARY KEY" not in line]
    expected = {*(["jobs_live"] if states & LIVE else []), *(["jobs_ended"] if states & TERMINAL else [])}
    assert {index for index in ("jobs_live", "jobs_ended") for line in lines if index in line} == expected
    assert len(lines) == bool(states & LIVE) + len(states & TERMINAL)
    if not states & LIVE or word == "active":  # one live state among all live jobs is looked for along their index
        assert recorder.instructions < 20_000


def test_a_page_of_all_jobs_reads_no_more_than_the_page(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        assert len(jobs.list("all", limit=20).jobs) == 20
    assert not [line for line in recorder.plans() if "TEMP B-TREE" in line]
    assert recorder.instructions < 5000


@pytest.mark.parametrize("status", ["all", "active", "failed"])
def test_a_part_of_the_jobs_by_id_reads_no_more_than_it_shows_and_leaves_out(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch, status: StateWord
) -> None:
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        assert len(jobs.ordered(status, limit=20, offset=20).rows) <= 20
    assert recorder.instructions < 10_000


@pytest.mark.parametrize("sort", ["-started_at", "state", "run_id"])
def test_sorting_looks_only_at_the_jobs_of_its_filter(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch, sort: SortWord
) -> None:
    shape, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        jobs.ordered("failed", sort=sort, limit=20)
    assert [line for line in over(recorder.plans(), "jobs") if "jobs_ended (state=?" in line]
    for line in [*over(recorder.plans(), "jobs"), *over(recorder.plans(), "job_specs")]:
        assert line.startswith("SEARCH"), line
    assert shape == "finished" or recorder.instructions < 2000


def test_a_watch_begins_where_it_left_off(store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch) -> None:
    _, jobs = store
    newest = max(event.id for event in jobs.events(jobs.list("all", limit=1).jobs[0]))
    with recorded(jobs, monkeypatch) as recorder:
        seen = list(jobs.watch(after=newest - 3, timeout=0))
    assert len(seen) >= 1
    for line in over(recorder.plans(), "job_events"):
        assert line == "SEARCH job_events USING INTEGER PRIMARY KEY (rowid>?)"
    assert not [line for line in recorder.plans() if "TEMP B-TREE" in line]


def test_the_history_of_one_job_and_its_watch_are_found_by_job(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        assert jobs.events(ROWS // 2)
        assert list(jobs.watch(job=ROWS // 2, timeout=0))
    lines = over(recorder.plans(), "job_events")
    assert lines
    assert all("job_events_seq (job_id=?" in line for line in lines), lines
    assert recorder.instructions < 2000


def test_the_verbs_on_one_job_find_it_by_its_id(store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch) -> None:
    _, jobs = store
    job = jobs.submit("load", key="one", hold=True)
    with recorded(jobs, monkeypatch) as recorder:
        jobs.get(job)
        assert jobs.submit("load", key="one").id == job.id
        jobs.schedule(job)
        (run,) = jobs.claim("w7", kinds=["load"])
        run.add_range("blocks", 0, 9)
        run.heartbeat()
        run.checkpoint(state=1)
        run.complete()
        jobs.progress(job)
        jobs.checkpoints(job)
        assert jobs.delete(job)
    lines = [line for line in recorder.plans() if re.match(r"(SCAN|SEARCH) (jobs|job_\w+) ", line)]
    assert lines
    for line in lines:
        assert line.startswith("SEARCH") or "jobs_claimable" in line, line  # the claim has tests of its own


def test_a_prune_and_its_count_look_only_at_what_has_ended(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        jobs.prune("completed", older_than=timedelta(days=900), dry_run=True)
        jobs.prune("error", older_than=timedelta(days=900), dry_run=True)
        jobs.prune("terminal", older_than=timedelta(days=900))
    lines = [line for line in over(recorder.plans(), "jobs") if "jobs_overdue" not in line]
    assert lines
    for line in lines:
        assert "jobs_ended (state=?" in line or "INTEGER PRIMARY KEY" in line, line


def test_counting_reads_the_indexes_of_live_and_of_ended_jobs(
    store: tuple[str, JobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, jobs = store
    with recorded(jobs, monkeypatch) as recorder:
        assert sum(jobs.counts().values()) >= ROWS
    lines = over(recorder.plans(), "jobs")
    assert sorted(re.findall(r"INDEX (\w+)", " ".join(lines))) == ["jobs_ended", "jobs_live"]
