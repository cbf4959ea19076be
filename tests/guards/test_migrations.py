"""Versions of the schema: frozen SQL that makes exactly what the code means, old files, and who must not use which."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import peewee
import pytest

import jobstate
from jobstate import JobStore, Run, State
from jobstate.core.context import SILENT_AFTER
from jobstate.domain.event import Actor
from jobstate.ports.repository import Claimed
from jobstate.storage.connections import SCHEMA_CHECK_INTERVAL
from jobstate.storage.schema import migrations
from jobstate.storage.schema.definition import definition, fingerprint
from jobstate.storage.schema.migrations import MIGRATIONS
from jobstate.system import host
from jobstate.testing.clock import ManualClock
from jobstate.worker.run_control import RunControl
from tests.guards.ledger import NAMES, stranger
from tests.guards.migration import generated, migrated, objects, wanted_statements
from tests.guards.old_files import first_version
from tests.processes.roles import install_later_version

ROOT: Final = Path(jobstate.__file__).parent.parent
NEWEST: Final = MIGRATIONS[-1].version


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return first_version(tmp_path)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes this process a later jobstate, with one migration more."""

    def install() -> None:
        monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS)
        install_later_version()

    return install


# The frozen SQL


@pytest.mark.parametrize("prefix", ["", "jobstate_", "q"])
def test_all_migrations_in_order_make_exactly_what_the_code_means(prefix: str) -> None:
    with closing(migrated()) as plain:
        needed = "\n".join(wanted_statements(plain))
    assert not needed, f"write the next migration; it needs:\n{needed}\nand the fingerprint {fingerprint()}"
    with closing(migrated(prefix)) as connection:
        assert objects(connection) == generated(prefix)
        meta = dict(connection.execute(f"SELECT name, value FROM {prefix}meta").fetchall())
    assert meta == {"schema_version": str(NEWEST), "fingerprint": fingerprint(), "durability": "full"}


def test_versions_are_numbered_without_a_gap_and_the_newest_has_the_fingerprint_of_the_code() -> None:
    assert [one.version for one in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert MIGRATIONS[-1].fingerprint == fingerprint()


def test_the_first_migration_makes_the_file_that_the_first_version_wrote_byte_for_byte(path: Path) -> None:
    tables = ("lifecycle_edges", "meta")
    with closing(migrated(steps=MIGRATIONS[:1])) as frozen, stranger(path) as written:
        assert objects(frozen) == objects(written)
        for table in tables:
            rows = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert frozen.execute(rows).fetchall() == written.execute(rows).fetchall()


@pytest.mark.parametrize("version", [one.version for one in MIGRATIONS])
def test_an_upgraded_file_has_the_schema_of_a_new_one(tmp_path: Path, version: int) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
        for step in MIGRATIONS[:version]:
            for statement in step.statements(""):
                connection.execute(statement)
    for path in (old, new):
        with jobstate.open(path) as jobs:
            assert (jobs.schema_version, jobs.audit().findings) == (NEWEST, ())
    with stranger(old) as one, stranger(new) as other:
        assert objects(one) == objects(other)
        assert one.execute("SELECT * FROM meta").fetchall() == other.execute("SELECT * FROM meta").fetchall()
        assert other.execute("PRAGMA user_version").fetchone() == (NEWEST,)


# A file of the first version


def test_a_file_of_the_first_version_opens_with_every_job_as_it_was(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stranger(path) as before:
        columns = {
            table: ", ".join(name for _, name, *_ in before.execute(f"PRAGMA table_info({table})"))
            for table in ("jobs", "job_specs", "job_events")
        }
        rows = {table: before.execute(f"SELECT {names} FROM {table}").fetchall() for table, names in columns.items()}
    with caplog.at_level(logging.INFO, "jobstate"), jobstate.open(path, clock=ManualClock()) as jobs:
        assert {job.kind: job.state for job in jobs.list("all", limit=99).jobs} == NAMES
        assert jobs.audit().findings == ()
    assert f"{path}: upgraded from schema version 1 to {NEWEST}" in caplog.text
    with stranger(path) as after:
        kept = {table: after.execute(f"SELECT {names} FROM {table}").fetchall() for table, names in columns.items()}
        assert kept == rows
    with jobstate.open(path, clock=ManualClock()) as jobs:
        (held,) = (job for job in jobs.list("running").jobs)
        assert jobs.repository.leases.complete([held.lease], ManualClock().now(), Actor("worker:w1")) == []
        assert jobs.get(held).state is State.COMPLETED
        (run,) = jobs.claim("w9", kinds=["scheduled"])
        run.complete()
        assert jobs.get(run.id).state is State.COMPLETED


def _late(run: Run, jobs: JobStore) -> None:
    clock = jobs._context.clock
    assert isinstance(clock, ManualClock)
    clock.advance(31)
    jobs.claim("w9", kinds=["nothing"])


_NEXT: Final[dict[str, tuple[str, Callable[[Run, JobStore], object], State]]] = {
    "renewed": ("running", lambda run, jobs: run.heartbeat(), State.RUNNING),
    "reported": ("running", lambda run, jobs: run.add_range("more", 0, 9, files=1), State.RUNNING),
    "checkpointed": ("running", lambda run, jobs: run.checkpoint(state=11), State.RUNNING),
    "released": ("running", lambda run, jobs: run.release(), State.SCHEDULED),
    "retried": ("running", lambda run, jobs: run.fail("disk gone"), State.RECOVERING),
    "failed": ("running", lambda run, jobs: run.fail("bad input", retryable=False), State.FAILED),
    "asked to stop": ("running", lambda run, jobs: jobs.stop(run.id), State.STOP_REQUESTED),
    "stopped by force": ("running", lambda run, jobs: jobs.stop(run.id, mode="force"), State.STOPPED),
    "failed by its operator": ("running", lambda run, jobs: jobs.fail(run.id, reason="bad"), State.FAILED),
    "completed while it rescales": ("rescaling", lambda run, jobs: run.complete(), State.COMPLETED),
    "stopping": ("asked", lambda run, jobs: run.begin_stop(), State.STOPPING),
    "settled once its lease has run out": ("running", _late, State.RECOVERING),
    "stopped": ("stopping", lambda run, jobs: run.finish_stop(), State.STOPPED),
}
"""What happens next to a held job of an old file: its state there, the step, and where it leads."""


@pytest.mark.parametrize("step", _NEXT)
def test_a_held_job_of_the_first_version_goes_on_by_every_step_after_the_upgrade(path: Path, step: str) -> None:
    kind, act, target = _NEXT[step]
    with jobstate.open(path, clock=ManualClock()) as jobs:
        (job,) = (job for job in jobs.list("all", limit=99).jobs if job.kind == kind)
        row = jobs.repository.jobs.find(job.id)
        assert row is not None
        act(Run(RunControl(jobs._context, Claimed(row, None, {}), 30.0, jobs._context.clock.monotonic())), jobs)
        assert jobs.get(job.id).state is target
        assert jobs.audit().findings == ()


def test_a_store_of_the_first_version_in_a_callers_own_database_is_upgraded_under_its_prefix(tmp_path: Path) -> None:
    database = peewee.SqliteDatabase(tmp_path / "app.db")
    try:
        database.execute_sql("CREATE TABLE jobs (mine INTEGER)")
        for statement in MIGRATIONS[0].statements("q_"):
            database.execute_sql(statement)
        with jobstate.open(database, table_prefix="q_") as jobs:
            jobs.submit("extract")
            assert (jobs.schema_version, jobs.audit().findings) == (NEWEST, ())
    finally:
        database.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DROP TRIGGER jobs_update_guard", "jobs_update_guard is missing"),
        ("DROP INDEX jobs_live", "jobs_live is missing"),
        (
            "DROP TRIGGER lifecycle_edges_insert_guard;"
            "INSERT INTO lifecycle_edges VALUES ('Running', 'pause', 'Paused');"
            "CREATE TRIGGER lifecycle_edges_insert_guard BEFORE INSERT ON lifecycle_edges BEGIN "
            "SELECT RAISE(ABORT, 'jobstate: the lifecycle is part of the program'); END",
            "lifecycle_edges does not hold the lifecycle",
        ),
    ],
)
def test_an_old_file_whose_schema_was_changed_is_not_upgraded_and_left_alone(
    path: Path, change: str, named: str
) -> None:
    with stranger(path) as connection:
        connection.executescript(change)
        before = objects(connection)
    with pytest.raises(jobstate.SchemaMismatch, match=rf"not that of version 1: {named}; open it with") as caught:
        jobstate.open(path)
    assert str(path) in str(caught.value)
    with stranger(path) as connection:
        assert objects(connection) == before
        assert connection.execute("SELECT * FROM meta").fetchall() == [("schema_version", "1")]


# Other programs on the same file


def _register(path: Path, clock: ManualClock, ago: float, name: str, number: int) -> None:
    beat = clock.now() - int(ago * 1_000_000)
    with stranger(path) as connection:
        connection.execute("INSERT INTO workers VALUES ('w1', ?, ?, ?, ?, NULL, 1)", (beat - 1, beat, name, number))


@pytest.mark.parametrize(("name", "number"), [("elsewhere", 0), (host(), 1)], ids=["other host", "other process"])
def test_a_file_is_not_upgraded_under_a_live_worker_of_another_process(path: Path, name: str, number: int) -> None:
    clock = ManualClock()
    number += os.getpid()
    _register(path, clock, SILENT_AFTER, name, number)
    before = path.read_bytes()
    expected = rf"workers use it: w1 \(process {number} on {name}\); stop them first, or run `jobstate migrate`"
    with pytest.raises(jobstate.SchemaMismatch, match=expected):
        jobstate.open(path, clock=clock)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("ago", "name", "number"),
    [(SILENT_AFTER + 1, "elsewhere", 1), (0, host(), 0)],
    ids=["silent", "of this process"],
)
def test_a_silent_worker_or_one_of_this_process_does_not_hold_an_upgrade_up(
    path: Path, ago: float, name: str, number: int
) -> None:
    clock = ManualClock()
    _register(path, clock, ago, name, number or os.getpid())
    with jobstate.open(path, clock=clock) as jobs:
        assert jobs.schema_version == NEWEST


def test_jobstate_migrate_upgrades_under_a_live_worker(path: Path) -> None:
    from jobstate.store.open import migrate

    with stranger(path) as connection:
        connection.execute("INSERT INTO workers VALUES ('w1', 1, ?, 'elsewhere', 1, NULL, 1)", (2**52,))
    with pytest.raises(jobstate.SchemaMismatch):
        jobstate.open(path)
    migrate(path)
    with jobstate.open(path) as jobs:
        assert jobs.schema_version == NEWEST


def test_a_file_of_the_same_version_from_another_build_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    jobstate.open(path).close()
    with stranger(path) as connection:
        connection.execute("DROP TRIGGER meta_update_guard")
        connection.execute("UPDATE meta SET value = 'feedfeedfeedfeed' WHERE name = 'fingerprint'")
    with pytest.raises(jobstate.SchemaMismatch, match=r"feedfeedfeedfeed.*another build of jobstate wrote it"):
        jobstate.open(path)


def test_what_runs_raises_once_another_program_has_upgraded_the_schema(
    tmp_path: Path, later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        first = jobs.submit("extract")
        (run,) = jobs.claim("w1")
        repository = jobs.repository
        version = repository.version()
        with monkeypatch.context():
            later()
            jobstate.open(path).close()
        monkeypatch.undo()
        time.sleep(SCHEMA_CHECK_INTERVAL)
        newer = rf"its schema has version {NEWEST + 1}, this program knows up to {NEWEST}"
        for call in (
            lambda: jobs.submit("extract"),
            lambda: jobs.stop(first.id),
            run.heartbeat,
            repository.version,
            jobs.batch().__enter__,
        ):
            with pytest.raises(jobstate.SchemaMismatch, match=newer):
                call()
        assert version > 0
    with stranger(path) as connection:
        assert connection.execute("SELECT seq FROM jobs").fetchall() == [(2,)]


def test_a_statement_that_fails_for_a_newer_schema_says_so(
    tmp_path: Path, later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        jobs.submit("extract")
        later()
        jobstate.open(path).close()
        monkeypatch.undo()
        with stranger(path) as connection:
            connection.execute("ALTER TABLE jobs RENAME COLUMN reason TO why")
        with pytest.raises(jobstate.SchemaMismatch, match="upgrade jobstate"):
            jobs.list()


def test_changes_of_a_callers_own_schema_do_not_disturb(tmp_path: Path) -> None:
    database = peewee.SqliteDatabase(tmp_path / "app.db")
    try:
        with jobstate.open(database) as jobs:
            for number in range(2):
                database.execute_sql(f"CREATE TABLE mine{number} (id INTEGER)")
                jobs.submit("extract")
            assert jobs.audit().ok
    finally:
        database.close()


# What an author may forget: the two experiments, on a copy of the package


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, to be changed."""
    folder = tmp_path_factory.mktemp("program")
    shutil.copytree(ROOT / "jobstate", folder / "jobstate", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def changed(program: Path, copy: Path, changes: dict[str, tuple[tuple[str, str], ...]]) -> Path:
    """Replace text in files of the package, in a copy of the program or in place."""
    if copy != program:
        shutil.copytree(program, copy)
    for name, replacements in changes.items():
        file = copy / "jobstate" / name
        text = file.read_text()
        for old, new in replacements:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        file.write_text(text)
    return copy


def run(program: Path, code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(program)},
        check=False,
    )


OPEN: Final = "import sys, jobstate; jobstate.open(*sys.argv[1:] or [':memory:']).close()"
LIFECYCLE: Final = {
    "an edge": (
        (
            "State.SCHEDULED,  # an operator lets it",
            "State.SCHEDULED, Trigger.FAIL: State.FAILED,  # an operator lets it",
        ),
    ),
    "a state": (
        ('    SCHEDULED = "Scheduled"\n', '    PAUSED = "Paused"\n    SCHEDULED = "Scheduled"\n'),
        (
            "        State.SCHEDULED: {\n",
            "        State.PAUSED: {Trigger.SCHEDULE: State.SCHEDULED},\n        State.SCHEDULED: {\n",
        ),
        ("State.RUNNING,  # a worker takes the lease", "State.RUNNING, Trigger.RELEASE: State.PAUSED,  # a worker"),
    ),
}


@pytest.mark.parametrize("what", LIFECYCLE)
def test_a_lifecycle_without_its_migration_is_refused_in_words(program: Path, tmp_path: Path, what: str) -> None:
    altered = changed(program, tmp_path / "program", {"domain/lifecycle.py": LIFECYCLE[what]})
    failed = run(altered, OPEN)
    assert "SchemaMismatch" in failed.stderr
    assert f"lifecycle are not those of schema version {len(MIGRATIONS)}: it needs a migration" in failed.stderr


ROW: Final = (("    descriptor_json: str\n", "    title: str | None\n    descriptor_json: str\n"),)
NEW: Final = (
    ("    retry_json: str | None = None\n", "    retry_json: str | None = None\n    title: str | None = 'untitled'\n"),
)
TABLE: Final = (
    ("        descriptor = TextField()\n", "        descriptor = TextField()\n        title = TextField(null=True)\n"),
)
USE: Final = """
import sys, jobstate
from jobstate.domain.job import row_of
with jobstate.open(sys.argv[1]) as jobs:
    for options in ({}, {"pipeline_id": "p", "key": "k", "retry": jobstate.RetryPolicy()}):
        job = jobs.submit("extract", {"a": 1}, **options)
        (run,) = jobs.claim("w1", kinds=["extract"])
        for row in (row_of(job), row_of(run.job), row_of(jobs.get(job.id))):
            assert (len(row), row.title, row.descriptor_json) == (40, "untitled", '{"a":1}'), row
        run.complete()
    assert jobs.audit().ok
    print(jobs.schema_version, [row_of(job).title for job in jobs.list("all", limit=99).jobs][-1])
"""


def test_a_field_that_nothing_gives_a_value_to_fails_at_import(program: Path, tmp_path: Path) -> None:
    altered = changed(program, tmp_path / "program", {"domain/job_row.py": ROW, "storage/schema/tables.py": TABLE})
    failed = run(altered, OPEN)
    assert "TypeError: an insert into job_specs: nothing gives a value to title" in failed.stderr


def test_a_field_with_its_migration_works_in_a_new_file_and_in_an_old_one(program: Path, tmp_path: Path) -> None:
    altered = changed(
        program,
        tmp_path / "program",
        {"domain/job_row.py": ROW, "domain/submission.py": NEW, "storage/schema/tables.py": TABLE},
    )
    number = NEWEST + 1
    known = run(
        altered, "from jobstate.storage.schema.definition import fingerprint; print(fingerprint())"
    ).stdout.strip()
    guard = next(one for one in definition("{prefix}") if one.startswith("CREATE TRIGGER {prefix}meta_update_guard "))
    (altered / f"jobstate/storage/schema/{number:04}.sql").write_text(
        'ALTER TABLE {prefix}job_specs ADD COLUMN "title" TEXT;\n'
        "DROP TRIGGER {prefix}meta_update_guard;\n"
        f"UPDATE {{prefix}}meta SET value = '{number}' WHERE name = 'schema_version';\n"
        f"UPDATE {{prefix}}meta SET value = '{known}' WHERE name = 'fingerprint';\n"
        f"{guard};\n"
    )
    newest = f'Migration({NEWEST}, "{fingerprint()}"),'
    both = f'{newest} Migration({number}, "{known}"),'
    changed(altered, altered, {"storage/schema/migrations.py": ((newest, both),)})
    new, old = tmp_path / "new.db", first_version(tmp_path)
    for path, oldest in ((new, "untitled"), (old, "None")):
        done = run(altered, USE, path)
        assert (done.stdout, done.stderr) == (f"{number} {oldest}\n", "")
    check = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.guards.test_migrations import *; "
        "test_all_migrations_in_order_make_exactly_what_the_code_means('q')"
    )
    assert run(altered, check, ROOT).stderr == ""
