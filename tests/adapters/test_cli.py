"""The command line, as an operator and a script use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import jobstate
from jobstate.cli.registry import cli
from jobstate.domain.lifecycle import LIVE, TERMINAL, State
from jobstate.testing.contract.situations import one_of_each

JOBSTATE = [sys.executable, "-m", "jobstate"]


class Shell:
    """Runs `jobstate …` against one file, in this process."""

    def __init__(self, db: Path) -> None:
        self.db = db

    def __call__(self, *arguments: object, code: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(
            cli, [str(argument) for argument in arguments], env={"JOBSTATE_DB": str(self.db)}, **options
        )
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: object, code: int = 0) -> Any:
        """The one document that a command prints with `--json`."""
        return json.loads(self(*arguments, "--json", code=code).stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "jobs.db")


@pytest.fixture
def ids(shell: Shell) -> dict[str, int]:
    """A job in every situation, by its name."""
    with jobstate.open(shell.db, durability="normal") as store:
        return {name: scene.id for name, scene in one_of_each(store).items()}


def states(shell: Shell) -> dict[int, State]:
    with jobstate.open(shell.db, create=False) as store:
        return {job.id: job.state for job in store.iterate("all")}


DOCUMENTED = [
    "job list",
    "job ls",
    "job list --limit 100",
    "job list --after 1234",
    "job list --status all",
    "job list --status scheduled,running",
    "job list -s completed",
    "job list -l 20 -a 500",
    "job inspect {running}",
    "job get {running}",
    "job stop {running}",
    "job rm {completed}",
    "job remove {completed}",
    "job prune",
    "job prune --status completed",
    "job prune --status error",
    "job prune --status stopped",
    "job progress {running}",
    "job progress {running} --json",
    "job list --json",
    "job inspect {running} --json",
]


@pytest.mark.parametrize("line", DOCUMENTED)
@pytest.mark.parametrize("word", ["job ", ""])
def test_each_documented_line_works_with_and_without_the_word_job(
    shell: Shell, ids: dict[str, int], line: str, word: str
) -> None:
    named = {"running": _of(shell, State.RUNNING), "completed": _of(shell, State.COMPLETED)}
    shell(*(word + line.removeprefix("job ")).format(**named).split())


def _of(shell: Shell, state: State) -> int:
    return next(job_id for job_id, found in states(shell).items() if found is state)


@pytest.mark.parametrize(
    "line",
    [
        "--db {db} list --json",
        "--db={db} --json list",
        "--json --actor me --db {db} job list",
        "job --db {db} --json list",
        "--json list --db {db}",
    ],
)
def test_options_of_every_command_may_stand_before_its_name(tmp_path: Path, line: str) -> None:
    db = tmp_path / "jobs.db"
    with jobstate.open(db) as store:
        store.submit("extract")
    answer = CliRunner().invoke(cli, line.format(db=db).split())
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert [job["id"] for job in json.loads(answer.stdout)["jobs"]] == [1]


def test_the_actor_may_be_named_before_the_command(shell: Shell) -> None:
    shell("--actor", "ana", "submit", "extract")
    assert shell.json("--actor=bea", "stop", "1")["id"] == 1
    assert [event["actor"] for event in shell.json("events", "1")["events"]] == ["ana", "bea"]


@pytest.mark.parametrize("line", ["--db", "--db jobs.db", "--json", "--db jobs.db --help", "--actor"])
def test_options_without_a_command_ask_for_one_or_show_the_help(shell: Shell, line: str) -> None:
    answer = CliRunner().invoke(cli, line.split())
    assert "COMMAND [ARGS]" in answer.output
    assert answer.exit_code == (0 if "--help" in line else 2)


def test_an_option_that_a_command_does_not_have_is_refused_before_it_too(shell: Shell) -> None:
    assert "No such option" in shell("--actor", "me", "demo", code=2).stderr


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_every_command_has_json(shell: Shell, name: str) -> None:
    assert "--json" in shell(name, "--help").stdout


def test_a_list_is_filtered_by_pipeline(shell: Shell) -> None:
    shell("submit", "load", "--pipeline", "p/1")
    shell("submit", "load", "--pipeline", "p/2")
    listed = shell.json("list", "--pipeline", "p/2")
    assert [job["pipeline_id"] for job in listed["jobs"]] == ["p/2"]


def test_a_submission_takes_each_field_of_a_retry_policy(shell: Shell) -> None:
    options = (
        "initial=2s",
        "factor=3",
        "cap=1h",
        "jitter=0",
        "healthy_after=10m",
        "fatal=KeyError",
        "fatal=app.Broken",
    )
    job = int(shell("submit", "load", *(word for option in options for word in ("--retry", option))).stdout)
    with jobstate.open(shell.db) as store:
        assert store.get(job).retry == jobstate.RetryPolicy(2, 3, 3600, 0, 600, ("KeyError", "app.Broken"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("pause=1s", "is not FIELD=VALUE with a FIELD of initial"),
        ("initial", "is not FIELD=VALUE"),
        ("factor=much", "factor must be a number, not 'much'"),
        ("initial=soon", "initial 'soon' is not a duration"),
        ("jitter=2", "retry.jitter: must be a number in 0..1"),
    ],
)
def test_a_retry_option_that_means_nothing_is_refused_by_name(shell: Shell, option: str, said: str) -> None:
    refused = shell("submit", "load", "--retry", option, code=2)
    assert said in refused.stderr


def test_the_documented_filters_of_its_json_work(shell: Shell, ids: dict[str, int]) -> None:
    document = shell.json("list", "--status", "all")
    completed = [job for job in document["jobs"] if job["status"] == "COMPLETED"]
    assert [job["state"] for job in completed] == ["Completed"] * len(completed) != []
    failed = [job for job in document["jobs"] if job["state"] == "Failed"]
    assert {job["status"] for job in failed} == {"ERROR"}
    assert json.loads(shell("inspect", completed[0]["id"]).stdout)["status"] == "COMPLETED"


def test_every_verb_meets_a_job_in_every_state_as_the_contract_says(shell: Shell, ids: dict[str, int]) -> None:
    for job_id, state in states(shell).items():
        assert shell.json("inspect", job_id)["state"] == state
        assert shell.json("progress", job_id)["job_id"] == job_id
    for job_id, state in states(shell).items():
        if state in LIVE:
            assert "cannot be deleted" in shell("rm", job_id, code=4).stderr
        else:
            assert shell.json("stop", job_id)["outcome"] == "already terminal"
    for job_id, state in states(shell).items():
        if state in LIVE:
            document = shell.json("stop", job_id)
            again = shell.json("stop", job_id)
            assert document["outcome"] in ("requested", "already stopping")
            assert again["outcome"] in ("already stopping", "already terminal")
            assert not again["changed"]
    for job_id in states(shell):
        shell("stop", job_id, "--mode", "force")
    assert set(states(shell).values()) <= TERMINAL
    for job_id in states(shell):
        assert shell.json("rm", job_id) == {"id": job_id, "removed": True}
        assert shell.json("rm", job_id) == {"id": job_id, "removed": False}
    assert states(shell) == {}


@pytest.mark.parametrize(
    ("word", "goes"),
    [
        ("terminal", TERMINAL),
        ("completed", {State.COMPLETED}),
        ("stopped", {State.STOPPED}),
        ("error", {State.FAILED}),
        ("failed", {State.FAILED}),
    ],
)
def test_prune_removes_its_sort_and_spares_the_rest(
    shell: Shell, ids: dict[str, int], word: str, goes: frozenset[State]
) -> None:
    shell("sweep")
    before = states(shell)
    expected = {job_id for job_id, state in before.items() if state in goes}
    assert shell.json("prune", "-s", word, "--dry-run") == {"deleted": len(expected), "dry_run": True}
    assert shell.json("prune", "-s", word, "--older-than", "1h") == {"deleted": 0, "dry_run": False}
    assert states(shell) == before
    assert shell.json("prune", "-s", word) == {"deleted": len(expected), "dry_run": False}
    assert states(shell).keys() == before.keys() - expected


def test_the_operators_day(shell: Shell) -> None:
    assert shell("submit", "extract", '{"dataset": "eth"}', "--label", "team=data").stdout == "1\n"
    assert shell("submit", "load", "--hold", "--key", "k").stdout == "2\n"
    again = shell("submit", "load", "--hold", "--key", "k")
    assert (again.stdout, "nothing was added" in again.stderr) == ("2\n", True)
    assert shell("schedule", 2).stdout == "job 2 is Scheduled\n"
    assert [job["id"] for job in shell.json("list", "--label", "team=data")["jobs"]] == [1]
    assert [job["id"] for job in shell.json("list", "--kind", "load")["jobs"]] == [2]
    stopped = shell("stop", 1, 2, "--reason", "wrong input", "--wait")
    assert stopped.stdout == "job 1: Stopped (never_started)\njob 2: Stopped (never_started)\n"
    assert shell.json("wait", 1, 2)["results"][1]["stop"]["reason"] == "wrong input"
    events = shell.json("events", 1)["events"]
    assert [event["event_type"] for event in events] == ["submit", "request_stop", "begin_stop", "finish_stop"]
    assert events[1]["actor"].startswith("cli:")
    assert shell.json("audit")["ok"]
    assert shell("rm", 1, 2).stdout == "job 1: removed\njob 2: removed\n"
    listed = shell("list", "--status", "all")
    assert (listed.stdout, "no jobs match" in listed.stderr) == ("", True)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["inspect", 99], 3, "there is no job 99"),
        (["stop", 1, 99], 3, "there is no job 99"),
        (["rm", 1], 4, "cannot be deleted; stop it first"),
        (["rm", 99, 1], 4, "cannot be deleted"),
        (["wait", 1, "--timeout", "0"], 75, "still Scheduled"),
        (["schedule", 3], 3, "no job 3"),
        (["submit", "extract", "{}", "--key", "taken"], 4, "its kind is"),
        (["list", "-s", "runing"], 2, "has no word 'runing'"),
        (["list", "--limit", 0], 2, "0 is not in the range 1<=x<=1000"),
        (["list", "--limit", 1001], 2, "1001 is not in the range"),
        (["prune", "-s", "running"], 2, "must be one of terminal"),
        (["inspect", "one"], 2, "is not the id of a job"),
        (["inspect", "0"], 2, "is not the id of a job"),
        (["inspect", "9" * 30], 2, "is not the id of a job"),
        (["submit", "extract", "{"], 2, "is not JSON"),
        (["submit", "extract", "[]"], 2, "must be a JSON object"),
        (["submit", "extract", "--available-at", "noon"], 2, "is not a time with a zone, such as"),
        (["submit", "extract", "--available-at", "2030-01-01T00:00:00"], 2, "is not a time with a zone, such as"),
        (["prune", "--older-than", "a week"], 2, "is not a duration such as"),
        (["prune", "--older-than", "7"], 2, "has no unit; say 7s, 7m, 7h, 7d or 7w"),
        (["list", "--label", "team"], 2, "is not NAME=VALUE"),
        (["fail", 1], 2, "Missing option '--reason'"),
        (["nonsense"], 2, "No such command"),
        (["backup", "."], 2, "is a directory"),
    ],
)
def test_what_is_refused_ends_with_its_code_and_says_why(
    shell: Shell, arguments: list[object], code: int, told: str
) -> None:
    shell("submit", "load")
    shell("submit", "load", "--key", "taken")
    result = shell(*arguments, code=code)
    assert told in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["list", "inspect 1", "stop 1", "prune", "sweep", "audit", "doctor", "watch"])
def test_a_missing_file_is_not_made_by_a_command_that_only_looks(shell: Shell, command: str) -> None:
    result = shell(*command.split(), code=1)
    assert "name the file with --db or JOBSTATE_DB" in result.stderr
    assert not shell.db.exists()


@pytest.mark.parametrize("command", ["submit extract", "migrate"])
def test_these_commands_make_a_missing_file(shell: Shell, command: str) -> None:
    shell(*command.split())
    assert shell.db.exists()


def test_several_ids_are_answered_by_one_document_and_the_highest_code(shell: Shell) -> None:
    shell("submit", "load")
    document = shell.json("stop", 1, 99, code=3)
    assert [result["id"] for result in document["results"]] == [1, 99]
    assert document["results"][0]["outcome"] == "requested"
    assert document["results"][1]["error_code"] == "JOB_NOT_FOUND"


def test_paging_shows_every_job_once(shell: Shell) -> None:
    with jobstate.open(shell.db, durability="normal") as store:
        store.submit_many({"kind": "load"} for _ in range(7))
    seen, cursor = [], None
    while True:
        page = shell.json("list", "-l", 3, *(["-a", cursor] if cursor else []))
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert "more: --after 5" in shell("list", "-l", 3).stderr


@pytest.mark.parametrize("columns", [80, 200])
def test_a_list_fits_the_terminal_and_uses_it(shell: Shell, columns: int) -> None:
    shell("submit", "extract", json.dumps({"dataset": "eth/mainnet@1.2.0", "note": "x" * 300}))
    shell("submit", "a-kind-with-a-longer-name", "{}")
    environment = {**os.environ, "JOBSTATE_DB": str(shell.db), "COLUMNS": str(columns), "TERM": "xterm"}
    script = ["script", "-qec", f"{sys.executable} -m jobstate list", "/dev/null"]
    shown = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60).stdout
    lines = [_without_colour(line) for line in shown.splitlines()]
    assert lines[0].split() == ["ID", "STATE", "KIND", "NODE", "CHANGED", "DESCRIPTOR"]
    assert all(len(line) <= columns for line in lines)
    assert max(len(line.rstrip()) for line in lines) > columns - 10
    assert "…" in lines[2]
    assert "\x1b[" in shown


def _without_colour(line: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip("\r")


def test_piped_output_is_plain_and_whole(shell: Shell) -> None:
    descriptor = json.dumps({"note": "x" * 300}, separators=(",", ":"))
    shell("submit", "extract", descriptor)
    result = subprocess.run([*JOBSTATE, "list", "--db", str(shell.db)], capture_output=True, text=True, timeout=60)
    assert descriptor in result.stdout
    assert "\x1b" not in result.stdout


def test_a_closed_pipe_is_no_error(shell: Shell) -> None:
    with jobstate.open(shell.db, durability="normal") as store:
        store.submit_many({"kind": "load", "descriptor": {"x": "y" * 1000}} for _ in range(900))
    command = f"{sys.executable} -m jobstate list -l 1000 --db {shell.db} | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert result.stdout.startswith("ID")
    assert result.stderr == ""


def test_interrupting_a_watch_leaves_no_traceback(shell: Shell) -> None:
    shell("submit", "load")
    process = subprocess.Popen(
        [*JOBSTATE, "watch", "--after", "0", "--json", "--db", str(shell.db)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert (first["event_type"], first["to"]) == ("submit", "Scheduled")
    shell("stop", 1)
    assert json.loads(process.stdout.readline())["event_type"] == "request_stop"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert process.returncode in (1, 130)


def test_progress_follows_a_job_to_its_end(shell: Shell) -> None:
    with jobstate.open(shell.db, durability="normal") as store:
        job = store.submit("extract", {"end_block": 9})
        (run,) = store.claim("w")
        run.add_range("blocks", 0, 4, files=1, size_bytes=10)
        run.flush()
        process = subprocess.Popen(
            [*JOBSTATE, "progress", str(job.id), "--follow", "--json", "--db", str(shell.db)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["tables"]["blocks"]["current_block"] == 4
        run.add_range("blocks", 5, 9, files=1, size_bytes=10)
        run.complete()
        rest, _ = process.communicate(timeout=30)
        last = json.loads(rest.splitlines()[-1])
        assert process.returncode == 0
    assert (last["job_status"], last["tables"]["blocks"]["current_block"]) == ("COMPLETED", 9)


PLAIN = "def load(run):\n    run.add_range('rows', 0, 9)\n"
AWAITED = "async def load(run):\n    run.add_range('rows', 0, 9)\n    await run.checkpoint(state=10)\n"


@pytest.mark.parametrize("load", [PLAIN, AWAITED], ids=["plain", "awaited"])
def test_a_worker_runs_the_handlers_of_a_module_until_it_is_told_to_end(
    shell: Shell, tmp_path: Path, load: str
) -> None:
    (tmp_path / "tasks.py").write_text(f"{load}\nHANDLERS = {{'load': load}}\nNOTHING = {{}}\n")
    shell("submit", "load")
    process = subprocess.Popen(
        [*JOBSTATE, "worker", "tasks:HANDLERS", "--node", "w1", "--db", str(shell.db)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert shell.json("wait", 1, "--timeout", "30")["state"] == "Completed"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "worker w1 runs load from" in errors
    for wrong, told in (
        ("tasks", "is not MODULE:HANDLERS"),
        ("nowhere:X", "no module"),
        ("tasks:NOTHING", "is not a dict"),
    ):
        refused = subprocess.run(
            [*JOBSTATE, "worker", wrong, "--db", str(shell.db)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr


def test_the_doctor_names_what_is_wrong_and_the_fix(shell: Shell) -> None:
    with jobstate.open(shell.db, durability="normal") as store:
        store.submit("load")
        assert store.claim("dead-worker", lease=0.01)
        stopping = store.submit("other")
        store.stop(stopping, timeout=0)
        time.sleep(0.05)
    document = shell.json("doctor", code=1)
    wrong = {check["name"]: check for check in document["checks"] if not check["ok"]}
    assert wrong.keys() == {"leases", "stops"}
    assert wrong["leases"]["result"] == "job 1 of dead-worker"
    assert "jobstate sweep" in wrong["leases"]["fix"]
    assert "WRONG" in shell("doctor", code=1).stdout
    settled = shell.json("sweep")["settled"]
    assert {job["state"] for job in settled} == {"Recovering", "Stopped"}
    assert shell.json("doctor")["ok"]


def test_the_doctor_and_the_audit_notice_a_missing_guard(shell: Shell) -> None:
    import sqlite3

    shell("submit", "load")
    connection = sqlite3.connect(shell.db)
    connection.execute("DROP TRIGGER jobs_update_guard")
    connection.close()
    wrong = [check for check in shell.json("doctor", code=1)["checks"] if not check["ok"]]
    assert [check["name"] for check in wrong] == ["schema and guards"]
    assert "jobs_update_guard is missing" in shell("audit", code=1).stdout


def test_a_backup_is_a_store(shell: Shell, tmp_path: Path) -> None:
    shell("submit", "load")
    shell("backup", tmp_path / "copy.db")
    assert shell.json("list", "--db", tmp_path / "copy.db")["jobs"][0]["kind"] == "load"
    assert "exists already" in shell("backup", tmp_path / "copy.db", code=2).stderr


def test_help_says_what_each_command_does_in_one_whole_sentence(shell: Shell) -> None:
    lines = shell("--help", terminal_width=80).stdout.partition("Commands:\n")[2].splitlines()
    assert len(lines) == len(cli.list_commands(click.Context(cli)))
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
