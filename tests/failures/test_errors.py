"""Each fault of file, disk and driver is one named error: it names the path, says what to do, and changes nothing."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import peewee
import pytest

import jobstate
from jobstate import JobStore
from jobstate.domain.errors import JobStateError, StoreError
from jobstate.storage.engine import Engine

NEXT_STEP: Final = (
    *("repeat the call", "open it again", "restore a backup", "free some space", "check ", "create ", "name "),
    *(
        "open it with",
        "uninstall",
        "use a newer",
        "use a local",
        "upgrade jobstate",
        "is the path right",
        "use sqlite3",
    ),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture(scope="module")
def full_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("full") / "jobs.db"
    with jobstate.open(path) as jobs:
        jobs.submit_many({"kind": "extract", "descriptor": {"pad": "x" * 2000}} for _ in range(300))
        jobs.complete_many(jobs.claim("w1", limit=100))
    return path


@pytest.fixture
def filled(full_file: Path, path: Path) -> Path:
    return Path(shutil.copy(full_file, path))


@contextmanager
def refused(kind: type[StoreError], path: Path, *, retryable: bool = False) -> Iterator[None]:
    """The block raises exactly this error, which names the path and a next step, and survives pickling."""
    with pytest.raises(StoreError) as caught:
        yield
    error = caught.value
    assert type(error) is kind
    assert error.path == str(path)
    assert str(error).startswith(f"{path}: ")
    assert any(step in error.problem for step in NEXT_STEP), error.problem
    assert error.retryable is retryable
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def connection_of(jobs: JobStore) -> sqlite3.Connection:
    """The store's own connection of this thread."""
    engine: Any = jobs.repository._engine  # type: ignore[attr-defined]
    found: sqlite3.Connection = engine.connections.connection()
    return found


def content(path: Path) -> list[object]:
    connection = sqlite3.connect(path)
    try:
        tables = ("jobs", "job_specs", "job_events", "deletions", "job_progress")
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
    finally:
        connection.close()


# Busy


def _in_a_batch(jobs: JobStore) -> None:
    with jobs.batch():
        jobs.submit("extract")


CHANGES: Final[dict[str, Callable[[JobStore], object]]] = {
    "submit": lambda jobs: jobs.submit("extract"),
    "submit_many": lambda jobs: jobs.submit_many([{"kind": "extract"}]),
    "claim": lambda jobs: jobs.claim("w2"),
    "stop": lambda jobs: jobs.stop(150),
    "fail": lambda jobs: jobs.fail(150, "given up"),
    "delete": lambda jobs: jobs.delete(1),
    "prune": lambda jobs: jobs.prune("terminal"),
    "batch": _in_a_batch,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_file_that_others_hold_past_the_timeout_is_busy(filled: Path, change: Callable[[JobStore], object]) -> None:
    other = sqlite3.connect(filled, isolation_level=None)
    with jobstate.open(filled, timeout=0.1) as jobs:
        before = content(filled)
        other.execute("BEGIN IMMEDIATE")
        with refused(jobstate.StoreBusy, filled, retryable=True):
            change(jobs)
        assert sum(jobs.counts().values()) == 300  # readers are not held up
        other.execute("ROLLBACK")
        other.close()
        assert content(filled) == before
        change(jobs)  # repeating it helps, as the error promises
        assert jobs.audit().ok


def test_a_writer_that_finishes_within_the_timeout_is_waited_for(filled: Path) -> None:
    other = sqlite3.connect(filled, isolation_level=None, check_same_thread=False)
    with jobstate.open(filled, timeout=10) as jobs:
        other.execute("BEGIN IMMEDIATE")
        later = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
        later.start()
        assert jobs.submit("extract").id == 301
        later.join()
    other.close()


# Full


@pytest.mark.parametrize("change", ["submit", "submit_many", "batch"])
def test_a_full_disk_is_said_and_changes_nothing(filled: Path, change: str) -> None:
    big = {"pad": "x" * 500_000}
    with jobstate.open(filled) as jobs:
        before = content(filled)
        connection = connection_of(jobs)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        with refused(jobstate.StoreFull, filled, retryable=True):
            match change:
                case "submit":
                    jobs.submit("extract", big)
                case "submit_many":
                    jobs.submit_many([{"kind": "extract"}, {"kind": "extract", "descriptor": big}])
                case "batch":
                    with jobs.batch():
                        jobs.submit("extract")
                        jobs.submit("extract", big)
        assert not connection.in_transaction
        assert content(filled) == before
        connection.execute("PRAGMA max_page_count = 1000000")
        jobs.submit("extract", big)
        assert jobs.audit().ok


def test_a_disk_that_fills_up_under_a_run_keeps_its_lease_and_its_progress(filled: Path) -> None:
    with jobstate.open(filled) as jobs:
        connection = connection_of(jobs)
        (run,) = jobs.claim("w1")
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        run.add_range("blocks", 0, 9)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with refused(jobstate.StoreFull, filled, retryable=True):
            run.checkpoint(state="x" * 100_000)
        assert not run.lost
        connection.execute("PRAGMA max_page_count = 1000000")
        run.complete()
        assert jobs.progress(run)["blocks"].current_block == 9
        assert jobs.audit().ok


# Read-only


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_store_that_may_only_be_read_says_so_at_a_write(filled: Path, change: Callable[[JobStore], object]) -> None:
    with jobstate.open(filled) as jobs:
        before = content(filled)
        connection_of(jobs).execute("PRAGMA query_only = ON")
        with refused(jobstate.StoreReadOnly, filled):
            change(jobs)
        assert len(jobs.list("all", limit=500).jobs) == 300
        assert content(filled) == before


def test_a_database_that_was_opened_read_only_cannot_be_made_a_store(filled: Path) -> None:
    database = peewee.SqliteDatabase(f"file:{filled}?mode=ro", uri=True)
    before = content(filled)
    try:
        with pytest.raises(jobstate.StoreReadOnly, match="may not be written"):
            jobstate.open(database, table_prefix="other_")
    finally:
        database.close()
    assert content(filled) == before


@pytest.mark.parametrize("folder_too", [False, True])
def test_a_file_whose_mode_forbids_writing_is_read_only(filled: Path, folder_too: bool) -> None:
    if os.geteuid() == 0:  # root may write whatever the mode says: then it has to work
        filled.chmod(stat.S_IRUSR)
        with jobstate.open(filled) as jobs:
            assert jobs.submit("extract").id == 301
        return
    filled.chmod(stat.S_IRUSR)
    if folder_too:
        filled.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises((jobstate.StoreReadOnly, jobstate.StoreUnavailable), match="check"):
            jobstate.open(filled).submit("extract")
    finally:
        filled.parent.chmod(stat.S_IRWXU)


# No database, or a damaged one


@pytest.mark.parametrize(
    "rubbish",
    [b"not a database, but long enough to be looked at\n" * 100, b"\x00" * 4096, b"SQLite format 2\x00" * 300],
)
def test_a_file_that_is_no_database_is_corrupt_and_left_alone(path: Path, rubbish: bytes) -> None:
    path.write_bytes(rubbish)
    with refused(jobstate.StoreCorrupt, path):
        jobstate.open(path)
    assert path.read_bytes() == rubbish
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_file_is_corrupt_at_the_first_look_or_at_the_first_use(filled: Path) -> None:
    whole = filled.read_bytes()
    page = int.from_bytes(whole[16:18], "big")
    damaged = bytearray(whole)
    for number in range(2, len(whole) // page):
        damaged[number * page : (number + 1) * page] = b"\xa5" * page
    filled.write_bytes(damaged)
    with refused(jobstate.StoreCorrupt, filled), jobstate.open(filled) as jobs:
        for job in jobs.iterate("all"):
            jobs.events(job)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_corrupt(filled: Path, kept: float) -> None:
    whole = filled.read_bytes()
    filled.write_bytes(whole[: int(len(whole) * kept)])
    with refused(jobstate.StoreCorrupt, filled), jobstate.open(filled) as jobs:
        for job in jobs.iterate("all"):
            jobs.events(job)
        jobs.claim("w9", limit=1000)


def test_an_audit_of_a_damaged_file_reports_or_refuses_but_never_says_that_all_is_well(filled: Path) -> None:
    whole = filled.read_bytes()
    page = int.from_bytes(whole[16:18], "big")
    noticed = 0
    pages = range(2, len(whole) // page, 23)
    for number in pages:
        damaged = bytearray(whole)
        damaged[number * page + 8 : (number + 1) * page] = b"\xff" * (page - 8)
        filled.write_bytes(damaged)
        try:
            with jobstate.open(filled) as jobs:
                noticed += not jobs.audit().ok
        except jobstate.StoreCorrupt:
            noticed += 1
    overflow_or_free = len(pages) - noticed  # a page of text alone has no structure that could be broken
    assert noticed > 0
    assert overflow_or_free <= len(pages) * 0.9


# No file


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no" / "jobs.db"
    with refused(jobstate.StoreUnavailable, path):
        jobstate.open(path)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with refused(jobstate.StoreUnavailable, tmp_path):
        jobstate.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_a_file_is_refused(filled: Path) -> None:
    with refused(jobstate.StoreUnavailable, filled / "jobs.db"):
        jobstate.open(filled / "jobs.db")


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with refused(jobstate.StoreUnavailable, pipe):
        jobstate.open(pipe)


def test_a_missing_file_is_not_created_when_that_was_not_wanted(path: Path) -> None:
    with refused(jobstate.StoreUnavailable, path):
        jobstate.open(path, create=False)
    assert not path.exists()


def test_a_dangling_link_is_not_followed_into_a_missing_folder(tmp_path: Path) -> None:
    link = tmp_path / "jobs.db"
    link.symlink_to(tmp_path / "no" / "jobs.db")
    with refused(jobstate.StoreUnavailable, link):
        jobstate.open(link)


# Somebody else's


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_file_that_another_process_makes_a_store_meanwhile_is_not_foreign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    path = tmp_path / "jobs.db"
    sqlite3.connect(path).close()
    read, reads = Engine.read, 0

    def meanwhile(self: Engine, *arguments: Any) -> list[tuple[Any, ...]]:
        nonlocal reads
        found = read(self, *arguments)
        reads += 1
        if reads == moment:
            jobstate.open(path).close()
        return found

    monkeypatch.setattr(Engine, "read", meanwhile)
    with jobstate.open(path) as store:
        assert store.submit("extract").id == 1
    assert reads >= 2


@pytest.mark.parametrize("wal", [False, True])
def test_the_database_of_another_program_is_left_alone(path: Path, wal: bool) -> None:
    other = sqlite3.connect(path)
    if wal:
        other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE account (id INTEGER PRIMARY KEY)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with refused(jobstate.SchemaMismatch, path):
        jobstate.open(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_newer_schema_is_left_alone(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(filled, isolation_level=None)
    for verb in ("insert", "update", "delete"):
        other.execute(f"DROP TRIGGER meta_{verb}_guard")
    other.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    other.close()
    before = content(filled)
    with refused(jobstate.SchemaMismatch, filled):
        jobstate.open(filled)
    assert content(filled) == before


# Closed, or the wrong driver


@pytest.mark.parametrize("use", [*CHANGES.values(), JobStore.counts, JobStore.audit, lambda jobs: jobs.get(1)])
def test_a_closed_store_says_so(filled: Path, use: Callable[[JobStore], object]) -> None:
    jobs = jobstate.open(filled)
    jobs.close()
    with refused(jobstate.StoreClosed, filled):
        use(jobs)
    jobs.close()  # closing twice is no error


def test_a_run_of_a_closed_store_says_so(filled: Path) -> None:
    jobs = jobstate.open(filled)
    (run,) = jobs.claim("w1")
    jobs.close()
    with refused(jobstate.StoreClosed, filled):
        run.complete()


def test_a_store_that_another_thread_closed_says_so(filled: Path) -> None:
    jobs = jobstate.open(filled)
    jobs.counts()
    closer = threading.Thread(target=jobs.close)
    closer.start()
    closer.join()
    with refused(jobstate.StoreClosed, filled):
        jobs.counts()


def test_a_second_copy_of_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """peewee picks an installed pysqlite3 up by itself; it would drop the locks of the standard driver."""
    monkeypatch.setattr(peewee, "sqlite3", ModuleType("pysqlite3.dbapi2"))
    with refused(jobstate.UnsupportedSQLite, path):
        jobstate.open(path)
    assert not path.exists()


def test_an_sqlite_that_is_too_old_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with refused(jobstate.UnsupportedSQLite, path):
        jobstate.open(path)
    assert not path.exists()


# Opening


@pytest.mark.parametrize(
    "arguments",
    [
        {"durability": "some"},
        {"timeout": -1},
        {"stop_timeout": "soon"},
        {"descriptor_limit": 0},
        {"keep_checkpoints": 0},
        {"actor": ""},
        {"actor": "two\nlines"},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_an_argument_that_is_refused_leaves_no_file_behind(path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(jobstate.InvalidRequest) as caught:
        jobstate.open(path, **arguments)
    assert caught.value.field == next(iter(arguments))
    assert not path.exists()


def test_an_opening_that_failed_leaves_no_connection_behind(filled: Path) -> None:
    if not sys.platform.startswith("linux"):  # the list of open files is Linux's; elsewhere the next test stands alone
        return
    other = sqlite3.connect(filled, isolation_level=None)
    other.execute("DROP TRIGGER meta_update_guard")
    other.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    other.close()
    with refused(jobstate.SchemaMismatch, filled):
        jobstate.open(filled)
    held = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if _is_open(number)]
    assert str(filled) not in held


def _is_open(number: str) -> bool:
    return Path(f"/proc/self/fd/{number}").is_symlink()


def test_a_creation_that_failed_half_way_leaves_nothing_half_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobstate.storage.schema import migrations

    twice = "CREATE TABLE {prefix}more (id INTEGER);\n" * 2
    *earlier, newest = migrations.MIGRATIONS
    broken = replace(newest, sql=f"{''.join(f'{one};' + chr(10) for one in newest.statements(''))}{twice}")
    with monkeypatch.context() as now:
        now.setattr(migrations, "MIGRATIONS", (*earlier, broken))
        with pytest.raises((sqlite3.Error, JobStateError)):
            jobstate.open(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    with jobstate.open(path) as jobs:
        assert jobs.audit().ok


def test_every_kind_of_store_error_is_reached_by_a_test_here_or_told_apart_by_its_kind() -> None:
    kinds = {kind.__name__ for kind in StoreError.__subclasses__()}
    source = Path(__file__).read_text()
    elsewhere = {"StoreForked"}
    assert {kind for kind in kinds - elsewhere if f"jobstate.{kind}" not in source} == set()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE jobs SET state = 'Completed'", "the CHECK that a job fits its state"),
        ("UPDATE jobs SET id = -5", "the CHECK on the id of a job"),
        ("UPDATE jobs SET seq = 7", "jobs_update_guard: jobstate: a change of state writes one history entry"),
        ("DELETE FROM meta", "lifecycle_edges_insert_guard or lifecycle_edges_update_guard or another: jobstate: "),
        ("INSERT INTO foreigners VALUES (1)", "x" * 200),
    ],
)
def test_a_refusal_names_the_guard_and_not_its_text(path: Path, statement: str, named: str) -> None:
    with jobstate.open(path) as jobs:
        jobs.submit("extract")
        repository: Any = jobs.repository
        engine = repository._engine
        engine.run("CREATE TABLE foreigners (id INTEGER)")
        engine.run(
            f"CREATE TRIGGER foreign_guard BEFORE INSERT ON foreigners BEGIN SELECT RAISE(ABORT, '{'x' * 5000}'); END"
        )
        with pytest.raises(jobstate.GuardViolation, match=f"the database refused the change: {named}") as caught:
            engine.run(statement)
        assert len(str(caught.value)) < 300 + len(str(path))


# Another file under the name


@pytest.mark.parametrize("there_is_another", [False, True], ids=["gone", "replaced"])
def test_a_thread_that_comes_later_is_let_into_no_other_file_and_makes_none(
    filled: Path, there_is_another: bool
) -> None:
    other = filled.with_name("other.db")
    jobstate.open(other).close()
    with jobstate.open(filled) as jobs:
        filled.rename(filled.with_name("away.db"))
        if there_is_another:
            other.rename(filled)

        def look() -> None:
            with refused(jobstate.StoreUnavailable, filled):
                jobs.submit("extract")

        with ThreadPoolExecutor(1) as pool:
            pool.submit(look).result()
        assert filled.exists() is there_is_another
        filled.with_name("away.db").replace(filled)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(jobs.submit, "extract").result().id == 301


@pytest.mark.parametrize("meanwhile", ["gone", "gone for a moment", "replaced"])
def test_a_file_that_is_away_while_a_thread_connects_keeps_its_write_ahead_log(
    filled: Path, meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, away, log = filled.with_name("other.db"), filled.with_name("away.db"), filled.with_name(f"{filled.name}-wal")
    other.touch()
    connect = sqlite3.connect

    def connect_meanwhile(*args: Any, **options: Any) -> sqlite3.Connection:
        monkeypatch.undo()
        filled.rename(away)
        if meanwhile == "replaced":
            other.rename(filled)
        try:
            connection: sqlite3.Connection = connect(*args, **options)
            return connection
        finally:
            if meanwhile == "gone for a moment":
                away.replace(filled)

    with jobstate.open(filled) as jobs:
        acknowledged = jobs.submit("extract")
        before = log.stat()
        monkeypatch.setattr(sqlite3, "connect", connect_meanwhile)
        with ThreadPoolExecutor(1) as pool, refused(jobstate.StoreUnavailable, filled):
            pool.submit(jobs.get, acknowledged).result()
        assert filled.exists() is (meanwhile != "gone")
        if meanwhile != "gone for a moment":
            away.replace(filled)
        assert os.path.samestat(log.stat(), before)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(jobs.get, acknowledged).result() == acknowledged
    with jobstate.open(filled) as jobs:
        assert jobs.get(acknowledged) == acknowledged


@pytest.mark.parametrize("name", ["a?mode=memory.db", "100%41.db", "half#.db", "two words.db", "ä.db"])
def test_a_later_connection_opens_the_file_of_that_very_name(name: str, tmp_path: Path) -> None:
    for path in (f"{tmp_path}/{name}", f"/{tmp_path}/{name}"):
        with jobstate.open(path) as jobs, ThreadPoolExecutor(1) as pool:
            assert pool.submit(jobs.submit, "extract").result().id in (1, 2)
        with jobstate.open(path, create=False) as jobs:
            assert jobs.get(1).kind == "extract"
    assert set(os.listdir(tmp_path)) <= {name, f"{name}-wal", f"{name}-shm"}
