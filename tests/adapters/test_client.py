"""The client of a server: the verbs of a store, with the same values and errors, over a real connection."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from urllib3 import BaseHTTPResponse

import jobstate
from jobstate import JobClient, JobStore, State, TableProgress
from jobstate.client.connection import Connection
from jobstate.domain.errors import JobStateError
from jobstate.domain.job import row_of
from jobstate.http import Settings
from jobstate.testing.contract.situations import SCENES, one_of_each, running, scene, submitted
from tests.adapters.server import Server, serving

Jobs = JobStore | JobClient
QUIET = Settings(sweep_every=3600)
"""A server that changes nothing by itself."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with jobstate.open(tmp_path / "jobs.db", durability="normal", actor="test:store") as opened:
        yield opened


@pytest.fixture
def server(store: JobStore) -> Iterator[Server]:
    with serving(store, QUIET) as running_server:
        yield running_server


@pytest.fixture
def client(server: Server) -> Iterator[JobClient]:
    with jobstate.connect(server.url, actor="test:client") as connected:
        yield connected


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobStore, JobClient]]:
    """One store and a client of it, for tests that mind no jobs of others."""
    path = tmp_path_factory.mktemp("shared") / "jobs.db"
    with (
        jobstate.open(path, durability="normal", actor="test:store") as store,
        serving(store, QUIET) as server,
        jobstate.connect(server.url, actor="test:store") as client,
    ):
        store.submit("load", {"x": 1}, key="taken")
        store.stop(store.submit("load"), mode="force")
        one_of_each(store)
        for _ in range(3):
            store.submit("kind-x", pipeline_id="p/1 & more", labels={"team": "data", "a,b\\c=d": "x=y,z\\"})
            store.submit("kind-y", labels={"team": "data"}, hold=True)
        yield store, client


# Looking.


def test_what_a_client_sees_of_a_job_in_any_situation_is_what_the_store_has(store: JobStore, client: JobClient) -> None:
    for name, found in one_of_each(store).items():
        assert client.get(found.id) == store.get(found.id), name
        assert client.events(found.id) == store.events(found.id), name
        assert client.progress(found.id) == store.progress(found.id), name
        for event in store.events(found.id):
            assert client.event(found.id, event.id) == event
    job = client.get(1)
    assert client.get(job) == job
    assert [type(value) for value in row_of(job)] == [type(value) for value in row_of(store.get(1))]


FILTERS: list[dict[str, Any]] = [
    *({"status": state} for state in State),
    *({"status": word} for word in ("active", "all", "terminal", "error", "Stop-Requested")),
    {"status": [State.SCHEDULED, "running"]},
    {"status": {State.CREATED, State.SCHEDULED, State.RECOVERING}},
    {"status": "all", "kind": "kind-x"},
    {"status": "all", "node_id": "worker-01"},
    {"status": "all", "node_id": ""},
    {"status": "all", "pipeline_id": "p/1 & more"},
    {"status": "all", "labels": {"team": "data"}},
    {"status": "all", "labels": {"team": "data", "a,b\\c=d": "x=y,z\\"}},
    {"status": "all", "labels": {"team": "nobody"}},
    {"status": "all", "after": 7},
    {"limit": 1},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=", ".join)
def test_every_filter_of_a_list_selects_the_same_on_every_page(
    shared: tuple[JobStore, JobClient], wanted: dict[str, Any]
) -> None:
    store, client = shared
    for limit in (1, 2, 3, 1000):
        options = {"limit": limit, **wanted}
        while True:
            page = client.list(**options)
            assert page == store.list(**options), options
            if page.next_cursor is None:
                break
            options["after"] = page.next_cursor
    del options["limit"]
    options.pop("after", None)
    options.update({name: value for name, value in wanted.items() if name == "after"})
    assert list(client.iterate(**options)) == list(store.iterate(**options))


def test_a_client_iterates_over_more_jobs_than_a_page_holds(store: JobStore, client: JobClient) -> None:
    store.submit_many({"kind": "load"} for _ in range(1001))
    assert [job.id for job in client.iterate()] == list(range(1001, 0, -1))


def test_progress_arrives_with_its_gaps(store: JobStore, client: JobClient) -> None:
    run = running(store)
    run.add_range("blocks", 0, 4, files=2, size_bytes=10)
    run.add_range("rows", 3, 3)
    run.add_range("rows", 9, 9, files=1)
    run.add_files("nothing yet", size_bytes=5)
    run.flush()
    assert client.progress(run) == store.progress(run)
    assert client.progress(run)["rows"] == TableProgress(1, 0, ((3, 3), (9, 9)))
    assert list(client.progress(run)) == list(store.progress(run))


@pytest.mark.parametrize("name", ["worker-01", "..", "a/b", "ü ?#%"])
def test_workers_are_those_of_the_store_whatever_their_name(store: JobStore, client: JobClient, name: str) -> None:
    with store.worker(name, kinds=["load"]), store.worker("other"):
        assert client.workers() == store.workers() != []
        assert client.worker_info(name) == store.worker_info(name)
        assert client.worker_info(name).kinds == ("load",)


# Changing.


def test_a_submission_arrives_whole(store: JobStore, client: JobClient) -> None:
    job = client.submit(
        "load",
        {"text": 'ü\U0001f600\\"', "big": 2**63, "float": 0.1, "list": [None, True, {}], "": {"z": 1, "a": 2}},
        node_id="w-1",
        key="k/1",
        pipeline_id="p",
        labels={"team": "dáta", "empty": ""},
        priority=-3,
        available_at=datetime(2030, 1, 1, 1, 2, 3, 456789, tzinfo=UTC),
        hold=True,
        parallelism=4,
        max_attempts=7,
        retry=jobstate.RetryPolicy(timedelta(seconds=2.5), 3, 60, 0.125, timedelta(hours=1), (KeyError, "app.Broken")),
        actor="ana",
        reason="why\nnot? 100 % ü",
    )
    assert job == store.get(1)
    assert job.retry == jobstate.RetryPolicy(2.5, 3.0, 60.0, 0.125, 3600.0, ("KeyError", "app.Broken"))
    fields = ("node_id", "key", "pipeline_id", "run_id", "priority", "parallelism", "max_attempts", "actor", "reason")
    assert [getattr(job, name) for name in fields] == ["w-1", "k/1", "p", 1, -3, 4, 7, "ana", "why\nnot? 100 % ü"]
    assert (job.state, row_of(job).available_us) == (State.CREATED, 1893459723456789)
    assert job.labels == {"team": "dáta", "empty": ""}
    assert list(job.descriptor) == ["text", "big", "float", "list", ""]
    assert job.descriptor["text"] == 'ü\U0001f600\\"'
    again = client.submit("load", job.descriptor, key="k/1")
    assert row_of(again) == row_of(job).as_duplicate()


@pytest.mark.parametrize("name", SCENES)
def test_every_change_comes_to_the_same_as_on_the_store_itself(shared: tuple[JobStore, JobClient], name: str) -> None:
    """Twin jobs, one changed through the client and one on the store: the same values, but for ids and times."""
    changes: list[Callable[[Jobs, int], object]] = [
        lambda jobs, job: jobs.schedule(job, reason="go"),
        lambda jobs, job: jobs.stop(job, timeout=60, actor="ana", reason="schön"),
        lambda jobs, job: jobs.stop(job, mode="immediate", timeout=timedelta(seconds=5)),
        lambda jobs, job: jobs.fail(job, "broken"),
        lambda jobs, job: jobs.delete(job),
        lambda jobs, job: jobs.stop(job, mode="force"),
        lambda jobs, job: jobs.delete(job, reason="old"),
        lambda jobs, job: jobs.delete(job),
    ]
    store, client = shared
    here, there = scene(store, name).id, scene(store, name).id
    for change in changes:
        expected, found = _outcome(change, store, here), _outcome(change, client, there)
        assert found == expected


def _outcome(change: Callable[[Jobs, int], object], jobs: Jobs, job_id: int) -> object:
    """What a change comes to, without ids and times."""
    try:
        result = change(jobs, job_id)
    except JobStateError as error:
        return type(error), str(error).replace(f"job {job_id}", "the job")
    if isinstance(result, jobstate.StopResult):
        return result.changed, _told(result.job), result.expected_finish_time is None
    return _told(result) if isinstance(result, jobstate.Job) else result


def _told(job: jobstate.Job) -> object:
    return (
        job.state,
        row_of(job).stop_mode,
        row_of(job).stop_reason,
        row_of(job).stop_outcome,
        job.trigger,
        job.actor,
        job.reason,
        job.failure,
    )


def test_prune_counts_and_removes_as_the_store_does(store: JobStore, client: JobClient) -> None:
    one_of_each(store)
    told: list[tuple[int, int]] = []
    assert client.prune(dry_run=True) == store.prune(dry_run=True) == 3
    assert client.prune(older_than=timedelta(hours=1), progress=lambda *done: told.append(done)) == 0
    assert client.prune("failed", progress=lambda *done: told.append(done)) == 1
    assert told == [(1, 1)]
    # The stop that waits for nobody is settled first.
    assert client.prune() == 3
    assert store.prune(dry_run=True) == 0


def test_reasons_of_any_length_arrive_as_the_store_keeps_them(store: JobStore, client: JobClient) -> None:
    job = client.submit("load", hold=True)
    name, reason = "Zoë \U0001f600 100 %", "\U0001f600ü\r\n" * 1024 + "cut"
    client.schedule(job, actor=name, reason=reason)
    event = store.events(job)[-1]
    assert event.actor == name
    assert event.reason is not None
    assert (len(event.reason), event.reason[:4095]) == (4096, reason[:4095])
    assert client.events(job) == store.events(job)
    assert client.fail(job, "\U0001f600" * 4096).reason == "\U0001f600" * 4096


def test_who_acts_is_who_the_client_says(store: JobStore, server: Server) -> None:
    with jobstate.connect(server.url) as client:
        job = client.submit("load")
        assert job.actor.startswith("python:")
        acting = client.acting("bob", "cleaning")
        assert acting.stop(job, mode="force").job.reason == "cleaning"
        assert [event.actor for event in store.events(job)][-1] == "bob"
        acting.delete(job)
        by_eve = acting.stop(client.submit("load"), mode="force", actor="eve").job
        assert (by_eve.actor, by_eve.reason) == ("eve", "cleaning")
        why = acting.schedule(client.submit("load", hold=True), reason="now").reason
        assert why == "now"


# Errors.

REFUSED: list[Callable[[Jobs], object]] = [
    lambda jobs: jobs.get(99),
    lambda jobs: jobs.get(0),
    lambda jobs: jobs.get(2**63),
    lambda jobs: jobs.get("1"),  # type: ignore[arg-type]
    lambda jobs: jobs.progress(99),
    lambda jobs: jobs.events(99),
    lambda jobs: jobs.event(99, 1),
    lambda jobs: jobs.event(1, 99),
    lambda jobs: jobs.event(1, 0),
    lambda jobs: jobs.worker_info("nobody"),
    lambda jobs: jobs.stop(99),
    lambda jobs: jobs.stop(1, mode="soft"),  # type: ignore[arg-type]
    lambda jobs: jobs.stop(1, timeout=-1),
    lambda jobs: jobs.stop(1, timeout=float("nan")),
    lambda jobs: jobs.stop(1, actor=""),
    lambda jobs: jobs.stop(1, reason=1),  # type: ignore[arg-type]
    lambda jobs: jobs.schedule(2),
    lambda jobs: jobs.schedule(99),
    lambda jobs: jobs.fail(2, "again"),
    lambda jobs: jobs.fail(1, ""),
    lambda jobs: jobs.fail(99, "why"),
    lambda jobs: jobs.delete(1),
    lambda jobs: jobs.delete(True),
    lambda jobs: jobs.submit("load", key="taken"),
    lambda jobs: jobs.submit("other", key="taken"),
    lambda jobs: jobs.submit(""),
    lambda jobs: jobs.submit("load", {"x": {1, 2}}),
    lambda jobs: jobs.submit("load", {"x": "\ud800"}),
    lambda jobs: jobs.submit("load", {"x": "y" * 2**20}),
    lambda jobs: jobs.submit("load", available_at=datetime(2030, 1, 1)),  # noqa: DTZ001
    lambda jobs: jobs.submit("load", labels={"a": 1}),  # type: ignore[dict-item]
    lambda jobs: jobs.submit("load", priority=2**40),
    lambda jobs: jobs.list("nonsense"),  # type: ignore[arg-type]
    lambda jobs: jobs.list([]),
    lambda jobs: jobs.list(limit=0),
    lambda jobs: jobs.list(limit=1001),
    lambda jobs: jobs.list(after=0),
    lambda jobs: jobs.prune("running"),  # type: ignore[arg-type]
    lambda jobs: jobs.prune(older_than=-1),
    lambda jobs: jobs.wait(99, timeout=0),
    lambda jobs: jobs.wait(2, until="running"),
    lambda jobs: jobs.wait(1, until="nonsense"),  # type: ignore[arg-type]
    lambda jobs: jobs.watch(after=-1),
    lambda jobs: jobs.watch(job=0),
    lambda jobs: jobs.watch(timeout=-1),
    lambda jobs: jobs.acting(""),
]


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
    if not isinstance(expected.value, jobstate.WaitTimeout):
        assert vars(found.value) == vars(expected.value)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda client: client.list(kind="\ud800"), "kind"),
        (lambda client: client.list(node_id=7), "node_id"),
    ],
)
def test_what_the_wire_cannot_carry_is_refused_by_name(
    shared: tuple[JobStore, JobClient], call: Callable[[JobClient], object], field: str
) -> None:
    _, client = shared
    with pytest.raises(jobstate.InvalidRequest) as refused:
        call(client)
    assert refused.value.field == field


def test_a_closed_client_says_so(client: JobClient) -> None:
    client.close()
    with pytest.raises(jobstate.StoreClosed, match="call jobstate"):
        client.get(1)
    client.close()


# Waiting.


def later(call: Callable[[], object], after: float = 0.2) -> threading.Timer:
    timer = threading.Timer(after, call)
    timer.start()
    return timer


def test_a_wait_ends_soon_after_its_job(store: JobStore, client: JobClient) -> None:
    run = running(store)
    timer = later(run.complete)
    began = time.monotonic()
    job = client.wait(run, timeout=20)
    assert job == store.get(run)
    assert job.state is State.COMPLETED
    assert time.monotonic() - began < 2
    timer.join()


def test_a_wait_lasts_as_long_as_it_is_told_and_says_where_the_job_is(store: JobStore, client: JobClient) -> None:
    run = running(store)
    for timeout in (0, 0.5):
        began = time.monotonic()
        with pytest.raises(jobstate.WaitTimeout) as late:
            client.wait(run, timeout=timeout)
        assert timeout <= time.monotonic() - began < timeout + 10  # and not 30, the length of one question
        assert (late.value.job_id, late.value.state) == (run.id, State.RUNNING)
        assert late.value.timeout >= timeout


def test_a_wait_asks_again_and_again_until_it_is_over(
    store: JobStore, client: JobClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobstate.client.long_poll._LONGEST_POLL", 0.1)
    run = running(store)
    timer = later(run.complete, 0.55)
    assert client.wait(run).state is State.COMPLETED
    timer.join()


def test_a_wait_for_exactly_one_state_is_not_content_with_those_that_look_like_it(
    store: JobStore, client: JobClient
) -> None:
    held = submitted(store, hold=True)
    with pytest.raises(jobstate.WaitTimeout) as late:
        client.wait(held, until=State.SCHEDULED, timeout=0.3)
    assert late.value.state is State.CREATED
    timer = later(lambda: store.schedule(held))
    assert client.wait(held, until=State.SCHEDULED, timeout=10).state is State.SCHEDULED
    timer.join()


def test_a_wait_outlives_its_server(store: JobStore) -> None:
    run = running(store)
    with serving(store, QUIET) as first:
        client = jobstate.connect(first.url)
        found: list[jobstate.Job] = []
        waiter = threading.Thread(target=lambda: found.append(client.wait(run, timeout=20)))
        waiter.start()
        time.sleep(0.3)
    time.sleep(0.3)
    assert waiter.is_alive()
    with serving(store, QUIET, port=first.port):
        run.complete()
        waiter.join()
    assert [job.state for job in found] == [State.COMPLETED]
    client.close()


# Watching.


def test_a_watch_tells_the_whole_history_then_what_is_new(store: JobStore, client: JobClient) -> None:
    one_of_each(store)
    everything = list(store.watch(timeout=0))
    assert list(client.watch(timeout=0)) == everything
    assert list(client.watch(after=5, timeout=0)) == everything[5:]
    assert list(client.watch(job=3, timeout=0)) == store.events(3)
    assert list(client.watch(after=None, timeout=0)) == []
    watching = client.watch(after=everything[-1].id)
    job = store.submit("load")
    assert next(watching) == store.events(job)[0]


def test_a_long_history_comes_whole_whatever_the_timeout(store: JobStore, client: JobClient) -> None:
    store.submit_many({"kind": "load"} for _ in range(1300))
    assert [event.id for event in client.watch(timeout=0)] == list(range(1, 1301))


def test_a_watch_from_now_on_begins_with_the_call(store: JobStore, client: JobClient) -> None:
    store.submit("before")
    watching = client.watch(after=None, timeout=5)
    job = store.submit("after")
    assert next(watching).job_id == job.id


def test_a_watch_ends_when_nothing_happened_for_so_long(store: JobStore, client: JobClient) -> None:
    watching = client.watch(after=None, timeout=1.5)
    began = time.monotonic()
    timer = later(lambda: store.submit("load"), 0.2)
    assert len(list(watching)) == 1
    assert time.monotonic() - began >= 1.7
    timer.join()


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_a_watch_goes_on_where_it_was_when_the_server_starts_again(store: JobStore, seen: bool) -> None:
    store.submit("load")
    with serving(store, QUIET) as first:
        client = jobstate.connect(first.url)
        told: list[int] = []
        watching = client.watch(after=0 if seen else None, timeout=3)
        watcher = threading.Thread(target=lambda: told.extend(event.id for event in watching))
        watcher.start()
        time.sleep(0.3)
        assert told == ([1] if seen else [])
    store.submit("while it was away")
    with serving(store, QUIET, port=first.port):
        store.submit("when it was back")
        watcher.join()
    assert told == ([1, 2, 3] if seen else [2, 3])
    client.close()


def test_a_watch_of_a_server_that_stays_away_ends_with_an_error(store: JobStore) -> None:
    with serving(store, QUIET) as server:
        client = jobstate.connect(server.url)
        store.submit("load")
        watching = client.watch(timeout=1)
        assert next(watching).job_id == 1
        time.sleep(0.2)
    began = time.monotonic()
    with pytest.raises(jobstate.ServerUnreachable):
        next(watching)
    assert time.monotonic() - began < 5
    client.close()


def test_a_watch_that_nobody_reads_gives_its_connection_back(
    store: JobStore, client: JobClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[BaseHTTPResponse] = []
    open_stream = Connection.open_stream

    def remembered(self: Connection, *arguments: Any, **options: Any) -> BaseHTTPResponse:
        opened.append(open_stream(self, *arguments, **options))  # kept, so that nothing but a close closes it
        return opened[-1]

    monkeypatch.setattr(Connection, "open_stream", remembered)
    store.submit("load")
    client.watch()
    watching = client.watch(after=0)
    next(watching)
    del watching
    assert len(opened) == 2
    assert all(response.closed for response in opened)


# Where it is used.


def test_threads_share_a_client(store: JobStore, client: JobClient) -> None:
    made: list[int] = []

    def work() -> None:
        made.extend(client.submit("load").id for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 41))


def test_a_forked_child_uses_its_client_and_leaves_that_of_its_parent_alone(server: Server, tmp_path: Path) -> None:
    script = (
        "import os, sys, jobstate\n"
        "jobs = jobstate.connect(sys.argv[1])\n"
        "jobs.submit('before')\n"
        "child = os.fork()\n"
        "kind = 'parent' if child else 'child'\n"
        "assert [jobs.submit(kind).kind for _ in range(50)] == [kind] * 50\n"
        "jobs.close()\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_the_client_needs_neither_peewee_nor_sqlite_nor_a_store(server: Server) -> None:
    script = (
        "import sys, jobstate\n"
        "jobstate.connect(sys.argv[1]).submit('load')\n"
        "unwanted = ('peewee', 'sqlite3', 'transitions', 'jobstate.store', 'jobstate.storage')\n"
        "sys.exit([name for name in unwanted if name in sys.modules] or None)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_without_urllib3_the_error_says_what_to_install() -> None:
    script = (
        "import sys\n"
        "sys.modules['urllib3'] = None\n"
        "import jobstate\n"
        "jobstate.JobClient, jobstate.ServerUnreachable\n"
        "try:\n"
        "    jobstate.connect('http://127.0.0.1:1')\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.stdout.endswith("pip install 'jobstate-ledger[client]'\n"), result.stderr


def test_proxies_of_the_environment_are_not_used(client: JobClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert client.submit("load").id == 1
    with jobstate.connect(client.path) as another:
        assert another.get(1).id == 1


def test_a_client_names_its_server(client: JobClient, server: Server) -> None:
    assert client.path == server.url
    assert repr(client) == f"<JobClient {server.url}>"
    with jobstate.connect(server.url + "/") as slashed:
        assert slashed.path == server.url
        assert slashed.workers() == []


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:1610", "ftp://x", "http://", "http://x:99999", "http://x y", "http://ü", "", None, "http://x\n"),
        *("http://a:secret@x", "http://secret@x", "secret@x", "http://x?secret=1", "http://x/#a"),
    ],
)
def test_what_is_no_address_is_refused(url: Any) -> None:
    with pytest.raises(jobstate.InvalidRequest) as refused:
        jobstate.connect(url)
    assert refused.value.field == "url"
    if "@" in str(url):
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ü", "\x7f", 5])
def test_what_is_no_token_is_refused_without_showing_it(token: Any) -> None:
    with pytest.raises(jobstate.InvalidRequest) as refused:
        jobstate.connect("http://127.0.0.1:1", token=token)
    assert refused.value.field == "token"
    assert refused.value.problem == "must be printable ASCII text without spaces"


@pytest.mark.parametrize("timeout", [0, -1, "1"])
def test_a_timeout_is_a_positive_duration(timeout: Any) -> None:
    with pytest.raises(jobstate.InvalidRequest, match="timeout"):
        jobstate.connect("http://127.0.0.1:1", timeout=timeout)
