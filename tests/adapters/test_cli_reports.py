"""What jobs report, on the command line: logs, errors, metrics, output."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import jobstate
from jobstate import JobStore, Run
from jobstate.cli.registry import cli
from jobstate.cli.view.units import now
from jobstate.wire import telemetry
from tests.adapters.test_completion import offered

JOBSTATE = [sys.executable, "-m", "jobstate"]
COMMANDS = ("logs", "errors", "metrics", "output")


class Desk:
    """A store with a job that runs, and the command line in front of it."""

    def __init__(self, db: Path, store: JobStore, run: Run) -> None:
        self.db, self.store, self.run = db, store, run

    def __call__(self, *arguments: object, code: int = 0) -> Result:
        said = [str(argument) for argument in arguments]
        result = CliRunner().invoke(cli, said, env={"JOBSTATE_DB": str(self.db)})
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        command = [*JOBSTATE, *map(str, arguments), "--db", str(self.db)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal", keep_logs=20, keep_output=5) as store:
        store.submit("extract")
        (run,) = store.claim("worker-01", lease=3600)
        yield Desk(path, store, run)


def said(line: str) -> tuple[str, str]:
    """Level and message of a line."""
    _, level, message = line.split("Z  ", 1)[0], *line.split("Z  ", 1)[1].split(None, 1)
    return level, message


def test_the_newest_entries_are_shown_with_the_newest_at_the_bottom(desk: Desk) -> None:
    for number in range(1, 6):
        desk.run.log.info("entry %d", number)
    desk.run.flush()
    shown = desk("logs", 1, "--limit", 2)
    assert [said(line) for line in shown.stdout.splitlines()] == [("info", "entry 4"), ("info", "entry 5")]
    assert shown.stderr == "showing 2 of 5; older entries: --before 4\n"
    before = desk("logs", 1, "--limit", 2, "--before", "log_4")
    assert [said(line) for line in before.stdout.splitlines()] == [("info", "entry 2"), ("info", "entry 3")]
    assert desk("logs", 1, "--before", 2).stdout.endswith("entry 1\n")


def test_a_log_that_was_cut_says_so(desk: Desk) -> None:
    for number in range(30):
        desk.run.log.info("entry %d", number)
    desk.run.flush()
    assert desk("logs", 1).stderr == "showing 20 of 30; the newest 20 are kept\n"
    assert desk("logs", 1, "--level", "info", "--limit", 5).stderr == (
        "showing 5 that match; of 30 entries the newest 20 are kept; older entries: --before 26\n"
    )
    document = desk.json("logs", 1)
    assert (document["total"], document["retained"], document["has_more"]) == (30, 20, False)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", "1 2 3 4"),
        ("--level error", "3"),
        ("--level info,error", "1 3 4"),
        ("--level WARNING", "2"),
        ("--operator source_1", "1 2"),
        ("--task 0", "1"),
        ("--operator source_1 --task 1", "2"),
        ("--since 1h", "4"),
        ("--until 1h", "1 2 3"),
        ("--since 3h --until 1h", "2 3"),
        ("--since 900000w", "1 2 3 4"),
    ],
)
def test_a_log_is_filtered_as_the_store_filters_it(tmp_path: Path, options: str, found: str) -> None:
    from jobstate.testing.clock import ManualClock

    clock = ManualClock(now() - timedelta(hours=4))
    path = tmp_path / "jobs.db"
    with jobstate.open(path, clock=clock, durability="normal") as store:
        store.submit("extract")
        (run,) = store.claim("worker-01", lease=86_400)
        run.log.info("1", operator_id="source_1", task_index=0)
        clock.advance(timedelta(hours=2))
        run.log.warning("2", operator_id="source_1", task_index=1)
        run.log.error("3")
        clock.advance(timedelta(hours=2))
        run.log.info("4")
        run.flush()
        shown = Desk(path, store, run)("logs", 1, *options.split())
    assert [said(line)[1].split(": ")[-1] for line in shown.stdout.splitlines()] == found.split()


def test_what_is_said_beside_a_message_stands_below_it(desk: Desk) -> None:
    desk.run.log.error(
        "bad\nrecord", operator_id="in", task_index=2, details={"line": 1, "why": "x"}, record='{"bad \x1b[31m'
    )
    desk.run.log.error("failed", details="Traceback\n  end\n")
    desk.run.flush()
    first, *lines = desk("errors", 1).stdout.splitlines()
    assert said(first) == ("error", "in[2]: bad")
    assert lines[:4] == [" " * 29 + "record", "    line: 1", "    why: x", '    record: {"bad \\x1b[31m']
    assert [said(lines[4])[1], *lines[5:]] == ["failed", "    Traceback", "      end"]


def test_errors_are_the_warnings_and_errors_with_the_traceback_of_a_failed_run(desk: Desk) -> None:
    desk.run.log.info("fine")
    desk.run.log.warning("slow")
    try:
        raise ValueError("bad input")
    except ValueError as error:
        desk.run.fail(error, retryable=False)
    shown = desk("errors", 1).stdout
    assert "fine" not in shown
    assert "    Traceback (most recent call last):\n" in shown
    assert "    ValueError: bad input\n" in shown
    assert [entry["level"] for entry in desk.json("errors", 1)["data"]] == ["error", "warning"]
    assert [entry["level"] for entry in desk.json("errors", 1, "--level", "warning")["data"]] == ["warning"]


def test_the_documents_are_those_of_the_pipeline_dialect(desk: Desk) -> None:
    desk.run.log.warning("slow", operator_id="in", details={"seconds": 5})
    desk.run.metrics("in", kind="source", name="Kafka", records_in=3, latency_ms=[1.0, 2.0])
    desk.run.emit("out", {"id": 1})
    desk.run.flush()
    store = desk.store
    assert desk.json("logs", 1) == telemetry.logs_document(store.logs(1))
    assert desk.json("errors", 1) == telemetry.errors_document(store.errors(1))
    assert desk.json("output", 1) == telemetry.output_document(store.output(1), None)
    assert desk.json("output", 1, "--operator", "out") == telemetry.output_document(
        store.output(1, operator_id="out"), "out"
    )
    assert json.loads(desk("output", 1, "--format", "json").stdout) == desk.json("output", 1)
    document, groups = desk.json("metrics", 1), desk.json("metrics", 1, "--groups")
    one = desk.json("metrics", 1, "--operator", "in")
    metrics = store.metrics(1)
    assert timeless(document) == timeless(telemetry.metrics_document(metrics))
    assert timeless(groups) == timeless(telemetry.groups_document(metrics))
    assert timeless(one) == timeless(telemetry.operator_document(metrics.operators[0]))


def timeless(document: Any) -> Any:
    """The document without what depends on when it is looked at."""
    if isinstance(document, list):
        return [timeless(value) for value in document]
    if isinstance(document, dict):
        return {name: timeless(value) for name, value in document.items() if name != "throughput"}
    return document


def test_a_job_that_reported_nothing_has_empty_documents_and_says_so_to_people(desk: Desk) -> None:
    assert desk.json("logs", 1) == desk.json("errors", 1) == {"data": [], "has_more": False, "total": 0, "retained": 0}
    assert desk.json("metrics", 1)["operators"] == []
    assert desk.json("output", 1)["data"] == []
    for command in COMMANDS:
        shown = desk(command, 1)
        assert (shown.stdout, shown.stderr.startswith("job 1 has ")) == ("", True)
    assert desk("output", 1, "--format", "csv").stdout_bytes == b"\xef\xbb\xbftimestamp,operator_id\r\n"


def test_a_table_for_spreadsheets_is_written_byte_by_byte_as_the_standard_has_it(desk: Desk) -> None:
    for number in range(7):
        desk.run.emit("out", {"id": number, "text": "ü\n=1"})
    desk.run.flush()
    process = desk.start("output", 1, "--format", "csv", "--limit", 2)
    told, hint = process.communicate(timeout=60)
    raw = subprocess.run(
        [*JOBSTATE, "output", "1", "--format", "csv", "--limit", "2", "--db", str(desk.db)],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        timeout=60,
    ).stdout
    assert raw.startswith(b"\xef\xbb\xbftimestamp,operator_id,id,text\r\n")
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row[2:] for row in rows[1:]] == [["2", "ü\n=1"], ["3", "ü\n=1"]]
    assert hint == "showing 2 of 7; the newest 5 are kept; more rows: --offset 2\n"
    assert told


def test_rows_are_paged(desk: Desk) -> None:
    for number in range(5):
        desk.run.emit("out", {"id": number})
    desk.run.flush()
    assert [row["record"]["id"] for row in desk.json("output", 1, "-l", 2, "--offset", 2)["data"]] == [2, 3]
    assert desk("output", 1, "-l", 2, "--offset", 2).stderr == "showing 2 of 5; more rows: --offset 4\n"
    assert desk("output", 1, "-l", 2, "--offset", 4).stderr == ""


def test_following_a_log_goes_on_until_the_job_has_ended(desk: Desk) -> None:
    for number in range(1, 4):
        desk.run.log.info("entry %d", number)
    desk.run.flush()
    process = desk.start("logs", 1, "--follow", "--limit", 2, "--json")
    assert process.stdout is not None
    assert [json.loads(process.stdout.readline())["message"] for _ in range(2)] == ["entry 2", "entry 3"]
    desk.run.log.warning("entry %d", 4)
    desk.run.flush()
    assert json.loads(process.stdout.readline()) == telemetry.log_document(desk.store.logs(1).entries[0])
    desk.run.log.info("last")
    desk.run.complete()
    rest, err = process.communicate(timeout=30)
    assert ([json.loads(line)["message"] for line in rest.splitlines()], err) == (["last"], "")
    assert process.returncode == 0


def test_following_shows_nothing_from_before_the_time_that_was_asked_for(desk: Desk) -> None:
    desk.run.log.info("old")
    desk.run.complete()
    assert desk("logs", 1, "--follow").stdout.endswith("old\n")
    assert desk("logs", 1, "--follow", "--since", "2999-01-01T00:00:00Z").stdout == ""
    assert desk("logs", 1, "--follow", "--level", "error").stdout == ""


def test_interrupting_a_followed_log_leaves_no_traceback(desk: Desk) -> None:
    desk.run.log.info("entry")
    desk.run.flush()
    process = desk.start("logs", 1, "--follow")
    assert process.stdout is not None
    assert process.stdout.readline().endswith("entry\n")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 130


def test_a_closed_pipe_is_no_error(desk: Desk) -> None:
    for number in range(20):
        desk.run.log.info("entry %d", number, details={"long": "x" * 10_000})
    desk.run.flush()
    command = f"{sys.executable} -m jobstate logs 1 --db {desk.db} | head -n 1"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (said(shown.stdout.strip()), shown.stderr) == (("info", "entry 0"), "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_the_same_behind_the_word_job(desk: Desk, command: str) -> None:
    desk.run.log.error("broken")
    desk.run.metrics("in", records_in=1)
    desk.run.emit("out", 1)
    desk.run.complete()
    assert desk("job", command, 1).stdout == desk(command, 1).stdout != ""


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        *((f"{command} 99", 3, "there is no job 99") for command in COMMANDS),
        ("metrics 1 --operator nobody", 3, "no metrics of an operator 'nobody'"),
        ("logs 1 --level loud", 2, "must be one of info, warn, error, not 'loud'"),
        ("logs 1 --level=", 2, "must be one of"),
        ("errors 1 --level info", 2, "must be one of error, warn, not 'info'"),
        ("logs 1 --since noon", 2, "is not a time with a zone, such as 2026-01-31T12:00:00Z, nor an age such as 10m"),
        ("logs 1 --since 2026-01-31T12:00:00", 2, "is not a time with a zone"),
        ("logs 1 --task -1", 2, "-1 is not in the range"),
        ("logs 1 --limit 1001", 2, "1001 is not in the range"),
        ("logs 1 --before chk_1", 2, "is not the id of an entry, such as log_7"),
        ("logs 1 --follow --before 3", 2, "leave out --until and --before"),
        ("output 1 --offset 10001", 2, "10001 is not in the range"),
        ("output 1 --format xml", 2, "'xml' is not one of"),
    ],
)
def test_what_is_refused_ends_with_its_code_and_says_why(desk: Desk, line: str, code: int, told: str) -> None:
    result = desk(*line.split(), code=code)
    assert told in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_ids_and_levels_are_completed(desk: Desk) -> None:
    for command in COMMANDS:
        assert offered(desk.db, f"jobstate {command} ") == ["1"]
    assert offered(desk.db, "jobstate logs 1 --level ") == ["info", "warn", "error"]
    assert offered(desk.db, "jobstate logs 1 --level warn,e") == ["warn,error"]
    assert offered(desk.db, "jobstate errors 1 --level w") == ["warning"]
    assert offered(desk.db, "jobstate output 1 --format ") == ["table", "json", "csv"]
