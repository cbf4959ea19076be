"""Restart, rescale and checkpoints on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import jobstate
from jobstate import JobStore, OperatorState, Run
from jobstate.cli.registry import cli
from jobstate.wire import documents, pipeline
from jobstate.wire.states import Dialect
from tests.adapters.test_completion import offered


class Desk:
    """A store with a job that runs and has three checkpoints, and the command line in front of it."""

    def __init__(self, db: Path, store: JobStore, run: Run) -> None:
        self.db, self.store, self.run = db, store, run

    def __call__(self, *arguments: object, code: int = 0) -> Result:
        said = [str(argument) for argument in arguments]
        result = CliRunner().invoke(cli, said, env={"JOBSTATE_DB": str(self.db)})
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as store:
        store.submit("extract", {"topic": "clicks"}, parallelism=4)
        (run,) = store.claim("worker-01", lease=3600)
        run.add_range("blocks", 0, 9)
        run.checkpoint(state={"offset": 10}, backend="files", location="s3://epoch_1")
        run.fail_checkpoint(run.begin_checkpoint(), "no space")
        run.checkpoint(operators=[OperatorState("source_1", 20, "Kafka", {0: 5, 1: 15})])
        yield Desk(path, store, run)
        assert store.audit().ok


def test_a_restart_prints_the_id_of_the_new_job_and_says_where_it_begins(desk: Desk) -> None:
    desk.run.fail("disk gone", retryable=False)
    shown = desk("restart", 1, "--parallelism", 2, "--reason", "new disk")
    assert shown.stdout == "2\n"
    assert shown.stderr.startswith("job 2 restarts job 1 from its checkpoint completed ")
    (copied,) = desk.store.checkpoints(2)
    assert shown.stderr.endswith(f" ago, copied as {copied.id}\n")
    assert copied.operator_states == desk.store.checkpoint(1, 3).operator_states
    job = desk.store.get(2)
    assert (job.restarted_from, job.parallelism, job.reason, job.descriptor) == (1, 2, "new disk", {"topic": "clicks"})


def test_a_restart_begins_where_it_is_told(desk: Desk) -> None:
    desk.run.fail("disk gone", retryable=False)
    document = desk.json("restart", 1, "--checkpoint", "chk_1")
    (copied,) = desk.store.checkpoints(2)
    assert document == {**documents.job_document(desk.store.get(2), Dialect.AMPCTL), "restored_checkpoint": copied.id}
    assert (copied.state, document["restarted_from"]) == ({"offset": 10}, 1)


def test_a_restart_of_a_job_without_a_checkpoint_begins_at_the_beginning(desk: Desk) -> None:
    desk.store.stop(desk.store.submit("load"), mode="force")
    shown = desk("restart", 2)
    assert (shown.stdout, "from the beginning" in shown.stderr) == ("3\n", True)


def test_what_a_fast_worker_writes_meanwhile_is_not_taken_for_the_beginning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.store.stop(desk.store.submit("load"), mode="force")
    restart = JobStore.restart

    def restarted_and_claimed(self: JobStore, *arguments: Any, **fields: Any) -> jobstate.Job:
        job = restart(self, *arguments, **fields)
        (run,) = self.claim("worker-02", kinds=["load"])
        run.checkpoint(state=1)
        return job

    monkeypatch.setattr(JobStore, "restart", restarted_and_claimed)
    assert desk.json("restart", 2)["restored_checkpoint"] is None


def test_rescaling_asks_a_worker_and_tells_a_job_that_nobody_runs(desk: Desk) -> None:
    desk.store.submit("load", hold=True)
    assert desk("rescale", 1, 8, "--reason", "more").stdout == "job 1 is Rescaling: from 4 to 8 tasks\n"
    assert desk("rescale", 2, 1000).stdout == "job 2 is Created, with 1,000 tasks\n"
    assert desk.json("rescale", 2, 1)["parallelism"] == 1
    assert (desk.store.get(1).rescale_to, desk.store.get(1).reason) == (8, "more")


def test_checkpoints_are_listed_newest_first_all_or_those_to_go_on_from(desk: Desk) -> None:
    assert desk.json("checkpoints", 1) == pipeline.checkpoints_document(desk.store.checkpoint_slice(1))
    assert [found["id"] for found in desk.json("checkpoints", 1)["data"]] == ["chk_3", "chk_2", "chk_1"]
    assert [found["id"] for found in desk.json("checkpoints", 1, "--completed")["data"]] == ["chk_3", "chk_1"]
    assert desk.json("checkpoints", 1, "--all", "-l", 1)["has_more"] is True
    assert desk("checkpoints", 1, "-l", 1).stderr == "there are older checkpoints; --limit shows more\n"
    lines = desk("checkpoints", 1).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "chk_3", "chk_2", "chk_1"]
    assert lines[2].endswith("no space")
    assert "s3://epoch_1" in lines[3]


def test_one_checkpoint_is_shown_with_all_that_it_holds(desk: Desk) -> None:
    for name in ("chk_1", "1"):
        assert desk.json("checkpoints", 1, name) == pipeline.checkpoint_document(desk.store.checkpoint(1, 1))
    shown = dict(line.split(None, 1) for line in desk("checkpoints", 1, "chk_1").stdout.splitlines())
    assert (shown["saved"], shown["progress"], shown["location"]) == ('{"offset":10}', "blocks 0 to 9", "s3://epoch_1")
    of_operators = desk("checkpoints", 1, 3).stdout.partition("\n\n")[2].splitlines()
    assert [line.split() for line in of_operators] == [
        ["OPERATOR", "NAME", "SUBTASK", "SIZE"],
        ["source_1", "Kafka", "20", "bytes"],
        ["0", "5", "bytes"],
        ["1", "15", "bytes"],
    ]
    assert "failure" in desk("checkpoints", 1, 2).stdout


@pytest.mark.parametrize("line", ["checkpoints 1", "checkpoints 1 chk_1", "rescale 1 4"])
def test_a_command_is_the_same_behind_the_word_job(desk: Desk, line: str) -> None:
    assert desk("job", *line.split()).stdout == desk(*line.split()).stdout != ""


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("restart 99", 3, "there is no job 99"),
        ("rescale 99 2", 3, "there is no job 99"),
        ("checkpoints 99", 3, "there is no job 99"),
        ("checkpoints 1 chk_99", 3, "there is no checkpoint chk_99 of job 1"),
        ("restart 1", 4, "it is live; stop it first"),
        ("restart 2", 4, "nothing left to do"),
        ("restart 3 --checkpoint 1", 3, "there is no checkpoint chk_1 of job 3"),
        ("rescale 2 2", 4, "cannot rescale"),
        ("rescale 1 0", 2, "parallelism: must be in 1..1000000"),
        ("rescale 1", 2, "Missing argument 'N'"),
        ("restart 3 --parallelism 0", 2, "parallelism: must be in 1..1000000"),
        ("restart 3 --checkpoint newest", 2, "is not the id of a checkpoint, such as chk_7"),
        ("checkpoints 1 chk_1 --completed", 2, "one checkpoint is not a list"),
        ("checkpoints 1 --limit 0", 2, "0 is not in the range"),
    ],
)
def test_what_is_refused_ends_with_its_code_and_changes_nothing(desk: Desk, line: str, code: int, told: str) -> None:
    for kind in ("done", "failed"):
        desk.store.submit(kind)
        (run,) = desk.store.claim("worker-02", kinds=[kind])
        run.complete() if kind == "done" else run.fail("x", retryable=False)
    newest = desk.store.newest_event()
    result = desk(*line.split(), code=code)
    assert (told in " ".join(result.stderr.split()), result.stdout) == (True, "")
    assert desk.store.newest_event() == newest


def test_a_restart_whose_checkpoint_cannot_be_read_still_prints_the_id(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise jobstate.StoreBusy(str(desk.db), "others write")

    desk.run.fail("disk gone", retryable=False)
    monkeypatch.setattr(JobStore, "checkpoints", gone)
    shown = desk("restart", 1)
    assert shown.stdout == "2\n"
    assert "job 2 restarts job 1 from a checkpoint that could not be read: " in shown.stderr
    assert "others write" in shown.stderr
    desk.store.acting("test").fail(2, "again")
    assert "restored_checkpoint" not in desk.json("restart", 2)


def test_a_second_restart_is_a_conflict_that_names_the_first(desk: Desk) -> None:
    desk.run.fail("disk gone", retryable=False)
    desk("restart", 1)
    assert "job 2 restarts it already" in desk("restart", 1, code=4).stderr


def test_ids_are_completed(desk: Desk) -> None:
    assert offered(desk.db, "jobstate checkpoints ") == offered(desk.db, "jobstate rescale ") == ["1"]
    assert offered(desk.db, "jobstate restart ") == []
