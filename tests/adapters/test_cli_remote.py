"""The command line through a server: what a command says and ends with is the same as on the file."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

import jobstate
from jobstate.cli.registry import cli
from jobstate.http import Settings
from jobstate.testing.contract.situations import one_of_each, running
from tests.adapters.server import serving
from tests.architecture.documents import block

pytestmark = pytest.mark.slow

JOBSTATE = [sys.executable, "-m", "jobstate"]
TOKEN = "s3cret-t0ken"
UPKEEP = ["sweep", "audit", "doctor", "backup {folder}/copy.db", "migrate", "worker tasks:HANDLERS", "demo", "serve"]
SHARED = [
    *("list", "inspect 1", "progress 1", "progress 1 --follow", "events 1", "submit load", "schedule 1", "stop 1"),
    *("fail 1 --reason x", "rm 1", "prune", "wait 1", "watch", "watch --after 0", "stop 1 2 --json"),
    *(
        "logs 1",
        "logs 1 --follow",
        "errors 1",
        "metrics 1",
        "metrics 1 --operator a",
        "output 1",
        "output 1 --format csv",
    ),
    *("checkpoints 1", "checkpoints 1 chk_1", "restart 1", "rescale 1 2"),
]


def run(*arguments: object, code: int | None = 0, env: dict[str, str | None] | None = None, **options: Any) -> Result:
    """`jobstate …` in this process, without the variables of whoever runs the tests."""
    plain = {"JOBSTATE_DB": None, "JOBSTATE_ADMIN_URL": None, "JOBSTATE_AUTH_TOKEN": None, "JOBSTATE_ACTOR": None}
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(cli, words, env={**plain, **(env or {})}, **options)
    assert code is None or result.exit_code == code, (result.output, result.exception)
    return result


# The same on both.


class Places(NamedTuple):
    """Two equal stores: one to be named as a file, one behind a server."""

    file: Path
    url: str
    ids: dict[str, int]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    here, there = tmp_path / "here.db", tmp_path / "there.db"
    with jobstate.open(here, durability="normal") as store:
        ids = {name.replace(", ", "-").replace(" ", "-"): found.id for name, found in one_of_each(store).items()}
        working = running(store)
        working.add_range("blocks", 0, 4, files=2, size_bytes=123456)
        working.add_range("logs", 3, 3)
        working.add_range("logs", 7, 9)
        working.metrics("source_1", kind="source", name="Kafka", subtask=1, records_in=2**40, latency_ms=[1.5, 2.5])
        working.metrics("../sink 1", kind="sink", records_out=10, errors=1, backpressure=0.5)
        for number in range(4):
            working.log.info("entry %d", number, operator_id="source_1", task_index=number, details={"ü": number})
        working.log.error("broken", details="two\n  lines", record="{")
        working.emit("../sink 1", {"id": 1, "a": "=1"})
        working.emit("out", "ü")
        working.checkpoint(state={"a": 1}, backend="files", location="s3://x")
        working.begin_checkpoint()
        working.flush()
        ids["working"] = working.id
        store.submit("taken", {"a": 1}, key="k", labels={"team": "data", "a,b": "c=d"}, pipeline_id="p")
    shutil.copy(here, there)
    with jobstate.open(there) as store, serving(store, Settings(sweep_every=3600)) as server:
        yield Places(here, server.url, ids)


LINES = [
    "list",
    "ls -s all",
    "list -s scheduled",
    "list -s running,error",
    "list -s created,recovering -l 1",
    "list -l 3 -s all",
    "list -l 3 -s all -a 6",
    "list --kind taken",
    "list --kind nothing-has-it",
    "list --node worker-01",
    "list --label team=data --label a,b=c=d",
    "list -s nonsense",
    "list -s ,",
    *(
        f"inspect {{{name}}}"
        for name in ("Created", "Running", "Recovering", "StopRequested-held", "Stopped", "Completed", "Failed")
    ),
    "inspect 99",
    "progress {working}",
    "progress {Created}",
    "progress {Failed}",
    "progress {Completed} --follow",
    "progress 99",
    "progress 99 --follow",
    "events {Stopped}",
    "events {Failed}",
    "events 99",
    "logs {working}",
    "logs {working} --level info,error --limit 2",
    "logs {working} --operator source_1 --task 2",
    "logs {working} --since 1h --until 2999-01-01T00:00:00Z --before 3",
    "logs {Completed}",
    "logs {Failed} --follow",
    "logs 99",
    "logs 99 --follow",
    "logs {working} --level loud",
    "errors {working}",
    "errors {working} --level warning",
    "errors {Failed}",
    "errors 99",
    "metrics {working}",
    "metrics {working} --groups",
    "metrics {working} --operator source_1",
    "metrics {working} --operator nobody",
    "metrics {Created}",
    "metrics 99",
    "output {working}",
    "output {working} --operator out",
    "output {working} --limit 1 --offset 1",
    "output {Created}",
    "output 99",
    "checkpoints {working}",
    "checkpoints {working} --completed",
    "checkpoints {working} chk_99",
    "checkpoints {Created}",
    "checkpoints 99",
    "restart {Failed}",
    "restart {Stopped} --parallelism 7 --reason again",
    "restart {Failed} --checkpoint chk_99",
    "restart {Running}",
    "restart {Completed}",
    "restart 99",
    "rescale {Running} 5",
    "rescale {Created} 5 --reason more",
    "rescale {Stopping} 5",
    "rescale {Running} 0",
    "rescale 99 5",
    "submit load",
    """submit load {{"a":"ü"}} --node w --key new --pipeline p --label x=y --priority -2 --parallelism 3""",
    "submit load --max-attempts 9",
    "submit load --retry initial=5s --retry factor=3 --retry cap=1h --retry fatal=KeyError --retry fatal=app.Broken",
    "submit load --retry initial=5s --retry cap=4s",
    "submit load --hold --available-at 2030-01-01T00:00:00+02:00 --reason why",
    'submit taken {{"a":1.0}} --key k',
    'submit taken {{"a":2}} --key k',
    "submit other --key k",
    "submit load []",
    "submit load --priority 99999999999",
    "submit load --max-attempts 0",
    "submit load --available-at 2030-01-01T00:00:00",
    "submit load --label x",
    "submit " + "x" * 300,
    "schedule {Created}",
    "schedule {Scheduled}",
    "schedule {Running}",
    "schedule {Failed}",
    "schedule 99",
    "stop {Running}",
    "stop {Running} --mode immediate --timeout 1h --reason because",
    "stop {Running} {Completed} {StopRequested-held} 99 {Created}",
    "stop {Running} {working} --mode force --wait",
    "stop {StopRequested-unheld} --wait",
    "stop 99",
    "stop 0",
    "fail {Running} --reason broken",
    "fail {Created} --reason broken",
    "fail {Completed} --reason broken",
    "fail {Running} --reason=",
    "fail 99 --reason broken",
    "rm {Completed}",
    "rm {Running}",
    "rm {Stopping}",
    "rm 99",
    "rm {Completed} 99 {Running} {Failed}",
    "prune",
    "prune -s completed --dry-run",
    "prune -s error",
    "prune -s failed --reason old",
    "prune --older-than 1h",
    "prune --older-than 0",
    "prune -s running",
    "wait {Completed}",
    "wait {Completed} {Failed} {Stopped} --timeout 5",
    "wait {Running} --timeout 0.2",
    "wait {Running} {Completed} --timeout 0.2",
    "wait {Running} --until running,stopping",
    "wait {Created} --until scheduled",
    "wait {Completed} --until running",
    "wait {Completed} --until nonsense",
    "wait 99",
    "watch --after 0 --timeout 0",
    "watch --after 4 --id {Running} --timeout 0",
    "watch --timeout 0.1",
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("way", ["for people", "as JSON"])
def test_a_command_says_and_ends_with_the_same(places: Places, line: str, way: str) -> None:
    arguments = [part.format(**places.ids) for part in line.split(" ")]
    if way == "as JSON":
        arguments.append("--json")
    here = run(*arguments, "--db", places.file, code=None)
    there = run(*arguments, "--admin-url", places.url, code=None)
    assert "Traceback" not in here.output + there.output
    assert (there.exit_code, _timeless(there.stdout), _timeless(there.stderr)) == (
        here.exit_code,
        _timeless(here.stdout),
        _timeless(here.stderr),
    )
    states = [
        json.loads(run("list", "-s", "all", "--json", *place).stdout)["jobs"]
        for place in (("--db", places.file), ("--admin-url", places.url))
    ]
    assert _timeless(json.dumps(states[0])) == _timeless(json.dumps(states[1]))


def _timeless(text: str) -> str:
    """The text without what differs from one second to the next."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "TIME", text)
    text = re.sub(r"(in )?\d+[dhms]( \d+[dhms])?( ago)?", "SPAN", text)
    return re.sub(r"after [\d.e-]+ s", "after SOME s", text)


def test_those_lines_end_in_every_way_there_is(places: Places) -> None:
    """Or the comparison above would say little."""
    lines = sorted(LINES, key=lambda line: not line.startswith("wait"))  # before their jobs are stopped
    ends = {run(*line.format(**places.ids).split(" "), "--db", places.file, code=None).exit_code for line in lines}
    assert ends == {0, 1, 2, 3, 4, 75}


# A real server.


class Served(NamedTuple):
    """A `jobstate serve` of its own process."""

    url: str
    db: Path
    process: subprocess.Popen[str]


@contextmanager
def served(db: Path, *options: str, **environment: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*JOBSTATE, "serve", "--port", "0", "--db", str(db), *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    told = process.stderr.readline()
    found = re.search(r"http://\S+", told)
    assert found is not None, told + process.stderr.read()
    try:
        yield Served(found.group(), db, process)
    finally:
        process.terminate()
        rest = process.communicate(timeout=30)[1]
    assert (process.returncode, rest) == (0, "")


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, token_file: Path) -> Iterator[Served]:
    """A server process that wants a token, with one job."""
    with served(tmp_path_factory.mktemp("served") / "jobs.db", "--auth-token", str(token_file)) as server:
        run("submit", "load", "--db", server.db)
        yield server


def test_a_day_of_an_operator_elsewhere(tmp_path: Path) -> None:
    with served(tmp_path / "new.db") as server:
        there: dict[str, str | None] = {"JOBSTATE_ADMIN_URL": server.url}
        assert run("submit", "extract", '{"dataset": "eth"}', env=there).stdout == "1\n"
        assert run("submit", "load", "--hold", env=there).stdout == "2\n"
        assert run("schedule", 2, env=there).stdout == "job 2 is Scheduled\n"
        watching = subprocess.Popen(
            [*JOBSTATE, "watch", "--after", "0", "--json", "--admin-url", server.url],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["event_type"] == "submit"
        with jobstate.open(server.db) as store:
            (work,) = store.claim("w", kinds=["load"])
            work.add_range("rows", 0, 9, files=1)
            work.flush()
            assert "0 to 9" in run("progress", 2, env=there).stdout
            waiting = subprocess.Popen(
                [*JOBSTATE, "wait", "2", "--admin-url", server.url], stdout=subprocess.PIPE, text=True
            )
            time.sleep(0.5)
            work.complete()
        assert waiting.communicate(timeout=30)[0] == "job 2: Completed\n"
        while json.loads(watching.stdout.readline())["event_type"] != "complete":
            pass
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
        stopped = run("stop", 1, "--wait", "--reason", "wrong input", env=there).stdout
        assert stopped == "job 1: Stopped (never_started)\n"
        assert run("prune", env=there).stdout == "2 jobs removed\n"
        assert "no jobs match" in run("list", env=there).stderr


def test_with_the_profile_sdk_the_command_line_says_the_same(tmp_path: Path) -> None:
    with served(tmp_path / "jobs.db", "--profile", "sdk") as server:
        run("submit", "load", "--admin-url", server.url)
        here, there = ("--db", server.db), ("--admin-url", server.url)
        for line in ("list --json", "list -s scheduled --json", "inspect 1 --json", "progress 1 --json"):
            assert run(*line.split(), *there).stdout == run(*line.split(), *here).stdout


def test_a_token_comes_from_the_environment_or_from_a_file(guarded: Served, token_file: Path) -> None:
    there = ("list", "--admin-url", guarded.url)
    assert "load" in run(*there, env={"JOBSTATE_AUTH_TOKEN": TOKEN}).stdout
    assert "load" in run(*there, "--auth-token", token_file).stdout
    assert "load" in run(*there, "--auth-token", token_file, env={"JOBSTATE_AUTH_TOKEN": "another"}).stdout
    assert "load" in run("list", "--auth-token", token_file, env={"JOBSTATE_ADMIN_URL": guarded.url}).stdout


@pytest.mark.parametrize("token", [None, "wr0ng"])
def test_without_the_right_token_a_command_says_where_it_goes(guarded: Served, token: str | None) -> None:
    for command in SHARED:
        refused = run(*command.split(), "--admin-url", guarded.url, code=1, env={"JOBSTATE_AUTH_TOKEN": token})
        assert "401 UNAUTHORIZED" in refused.output
        assert "JOBSTATE_AUTH_TOKEN, --auth-token FILE" in refused.output
        assert "wr0ng" not in refused.output


def test_a_server_takes_its_token_from_the_environment_too(tmp_path: Path) -> None:
    with served(tmp_path / "jobs.db", JOBSTATE_AUTH_TOKEN=TOKEN) as server:
        run("list", "--admin-url", server.url, code=1)
        run("list", "--admin-url", server.url, env={"JOBSTATE_AUTH_TOKEN": TOKEN})


def test_a_token_on_the_command_line_is_refused_and_not_shown(guarded: Served, tmp_path: Path) -> None:
    for command in (["list", "--admin-url", guarded.url], ["serve", "--db", str(tmp_path / "jobs.db")]):
        refused = run(*command, "--auth-token", TOKEN, code=2)
        assert "set JOBSTATE_AUTH_TOKEN" in refused.stderr
        assert TOKEN not in refused.output
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert (
        "the file is empty; write the token into it"
        in run("list", "--admin-url", guarded.url, "--auth-token", empty, code=2).stderr
    )
    two = tmp_path / "two"
    two.write_text("one two")
    assert "token: must be" in run("list", "--admin-url", guarded.url, "--auth-token", two, code=2).stderr


# Which place a command means.


def test_the_place_is_the_one_that_was_named_last_and_nearest(guarded: Served, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    run("submit", "other", "--db", other)
    by_file = {"JOBSTATE_DB": str(other), "JOBSTATE_AUTH_TOKEN": TOKEN}
    by_url = {"JOBSTATE_ADMIN_URL": guarded.url, "JOBSTATE_AUTH_TOKEN": TOKEN}
    assert "load" in run("list", "--admin-url", guarded.url, env={**by_file}).stdout
    assert "other" in run("list", "--db", other, env={**by_url}).stdout
    assert "load" in run("list", env={**by_url}).stdout
    assert "other" in run("list", env={**by_file}).stdout
    both = run("list", env={**by_file, **by_url}, code=2).stderr
    assert "JOBSTATE_DB and JOBSTATE_ADMIN_URL are both set" in both
    assert (
        "--db and --admin-url exclude each other"
        in run("list", "--db", other, "--admin-url", guarded.url, code=2).stderr
    )
    assert "--auth-token is for a server" in run("list", "--db", other, "--auth-token", "x", code=2).stderr


@pytest.mark.parametrize("command", UPKEEP)
def test_what_needs_the_file_refuses_a_server_and_says_what_to_do(tmp_path: Path, command: str) -> None:
    words = command.format(folder=tmp_path).split()
    told = f"run it on the machine that has the file: jobstate {words[0]} --db FILE"
    refused = run(*words, "--admin-url", "http://127.0.0.1:1", code=2)
    assert told in refused.stderr
    assert "--admin-url" in refused.stderr
    by_variable: dict[str, str | None] = {"JOBSTATE_ADMIN_URL": "http://127.0.0.1:1"}
    refused = run(*words, code=2, env=by_variable)
    assert told in refused.stderr
    assert "JOBSTATE_ADMIN_URL" in refused.stderr
    if words[0] in ("sweep", "audit", "doctor", "migrate"):
        with jobstate.open(tmp_path / "jobs.db"):
            pass
        run(*words, "--db", tmp_path / "jobs.db", env=by_variable)


def test_an_address_that_is_none_is_a_usage_error() -> None:
    assert "must be like http://127.0.0.1:1610" in run("list", "--admin-url", "127.0.0.1:1610", code=2).stderr


# Trouble.


@pytest.mark.parametrize("command", SHARED)
def test_a_server_that_is_away_is_worth_another_try(command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        missing = run(*command.split(), "--admin-url", url, code=75)
    told = (
        f"{url}: the server cannot be reached (Connection refused); start `jobstate serve` there, or check --admin-url"
    )
    assert told in missing.stderr
    if "--json" in command:
        assert [result["error_code"] for result in json.loads(missing.stdout)["results"]] == ["SERVER_UNREACHABLE"] * 2


def test_without_urllib3_the_command_line_says_what_to_install() -> None:
    script = "import sys; sys.modules['urllib3'] = None; from jobstate.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", script, "list", "--admin-url", "http://127.0.0.1:1"], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "pip install 'jobstate-ledger[client]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_command_on_a_server_loads_no_database(guarded: Served) -> None:
    script = (
        "import sys, atexit; from jobstate.cli import main\n"
        "unwanted = {'peewee', 'sqlite3', 'jobstate.store'}\n"
        "atexit.register(lambda: print([*unwanted & {*sys.modules}]))\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "list", "--json", "--admin-url", guarded.url],
        capture_output=True,
        text=True,
        env={**os.environ, "JOBSTATE_AUTH_TOKEN": TOKEN},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("}\n[]\n")


# Serving.


def test_the_example_of_the_guide_runs_as_printed(tmp_path: Path) -> None:
    example = block("runs against a server")
    with served(tmp_path / "jobs.db") as server:
        code = example.replace("http://127.0.0.1:1610", server.url)
        result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines() == re.findall(r"#> (.*)", example), result.stderr


def test_serve_says_what_keeps_it_from_listening(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("serve", "--port", port, "--db", tmp_path / "jobs.db", code=1)
        assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in refused.stderr
    refused = run("serve", "--host", "0.0.0.0", "--port", 0, "--db", tmp_path / "jobs.db", code=2)
    assert "set a token" in refused.stderr


def test_without_its_packages_serve_says_what_to_install(tmp_path: Path) -> None:
    for missing in ("fastapi", "uvicorn", "prometheus_client"):
        script = f"import sys; sys.modules['{missing}'] = None; from jobstate.cli import main; main()"
        result = subprocess.run(
            [sys.executable, "-c", script, "serve", "--db", tmp_path / "jobs.db"], capture_output=True, text=True
        )
        assert result.returncode == 1
        assert (
            f"the server needs the package {missing}; install it with: pip install 'jobstate-ledger[http]'"
            in result.stderr
        )
        assert "Traceback" not in result.stderr


def test_a_server_is_there_for_others_by_a_token(tmp_path: Path, token_file: Path) -> None:
    with served(tmp_path / "jobs.db", "--host", "0.0.0.0", "--auth-token", str(token_file)) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        run("list", "--admin-url", url, "--auth-token", token_file)
