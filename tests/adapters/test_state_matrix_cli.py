"""Every state meets every verb on the command line."""

from __future__ import annotations

from typing import Any

import pytest

import jobstate
from jobstate import State
from jobstate.cli.session import CONFLICT, USAGE
from jobstate.domain.errors import JobNotTerminal
from jobstate.domain.lifecycle import LEASED, LIFECYCLE, TERMINAL, Trigger
from jobstate.domain.operator_actions import PRUNE_WORDS, Action, allowed_actions
from jobstate.testing import paths
from jobstate.testing.contract.situations import Entry
from jobstate.wire import documents
from jobstate.wire.errors import code_of
from jobstate.wire.states import Dialect, spelled
from tests.adapters.conftest import Shell
from tests.adapters.expectations import GROUPS, LIVE_WORDS, NO_WORDS, QUEUED, after_stop, not_allowed, wanted

pytestmark = pytest.mark.slow


def document_of(entry: Entry) -> dict[str, Any]:
    return documents.job_document(entry.job, Dialect.AMPCTL)


def refused_in(document: Any, job_id: int, error: jobstate.JobStateError) -> None:
    assert document == {"id": job_id, "error_code": code_of(error), "error_message": str(error)}


@pytest.mark.parametrize("state", State)
def test_the_command_line_shows_a_job_in_any_state_as_its_dialect_spells_it(shell: Shell, state: State) -> None:
    job_id = shell.young[state]
    before = shell.entries()
    assert shell.json("inspect", job_id) == document_of(before[job_id])
    assert shell.json("inspect", job_id)["status"] == spelled(state, Dialect.AMPCTL)
    detail = {"detail": paths.WHY} if state in GROUPS["error"] else {}
    expected = {"job_id": job_id, "job_status": spelled(state, Dialect.AMPCTL), "tables": {}, **detail}
    assert shell.json("progress", job_id) == expected
    assert shell.entries() == before


@pytest.mark.parametrize("state", State)
def test_the_command_line_stops_a_job_in_any_state_as_the_table_says_once(shell: Shell, state: State) -> None:
    job_id = shell.young[state]
    before = shell.entries()
    document = shell.json("stop", job_id)
    once = shell.entries()
    assert once[job_id].job.state is after_stop(state)
    assert once == {**before, job_id: once[job_id]}
    assert document["changed"] is (once != before) is (after_stop(state) is not state)
    assert (document["id"], document["state"]) == (job_id, after_stop(state).value)
    assert document["status"] == spelled(after_stop(state), Dialect.AMPCTL)
    assert shell.json("stop", job_id)["changed"] is False
    assert shell.entries() == once


@pytest.mark.parametrize("state", State)
def test_the_command_line_removes_a_job_that_has_ended_and_leaves_any_other(shell: Shell, state: State) -> None:
    job_id = shell.young[state]
    before = shell.entries()
    if state in TERMINAL:
        assert shell.json("rm", job_id) == {"id": job_id, "removed": True}
        assert shell.entries() == {other: entry for other, entry in before.items() if other != job_id}
        assert shell.json("rm", job_id) == {"id": job_id, "removed": False}
    else:
        refused_in(shell.json("rm", job_id, code=CONFLICT), job_id, JobNotTerminal(job_id, state))
        assert shell.entries() == before


@pytest.mark.parametrize("trigger", [Trigger.SCHEDULE, Trigger.FAIL])
@pytest.mark.parametrize("state", State)
def test_the_command_line_schedules_and_fails_jobs_where_the_table_allows_it(
    shell: Shell, state: State, trigger: Trigger
) -> None:
    job_id = shell.young[state]
    before = shell.entries()
    line = (trigger.value, job_id, "--reason", "hopeless")
    if trigger in LIFECYCLE[state]:
        document = shell.json(*line)
        after = shell.entries()
        assert document == document_of(after[job_id])
        assert document["state"] == LIFECYCLE[state][trigger].value
        assert after == {**before, job_id: after[job_id]} != before
    elif trigger is Trigger.SCHEDULE and state is QUEUED:
        assert shell.json(*line) == document_of(before[job_id])
        assert shell.entries() == before
    else:
        assert str(not_allowed(job_id, state, trigger)) in shell(*line, code=CONFLICT).stderr
        assert shell.entries() == before


@pytest.mark.parametrize("state", State)
def test_the_command_line_restarts_a_job_that_failed_or_was_stopped_once_and_no_other(
    shell: Shell, state: State
) -> None:
    job_id = shell.young[state]
    before = shell.entries()
    if Action.RESTART in allowed_actions(state):
        document = shell.json("restart", job_id, "--reason", "again", "--parallelism", 3)
        after = shell.entries()
        restarted = after[document["id"]]
        assert document == {**document_of(restarted), "restored_checkpoint": None}
        assert (document["restarted_from"], document["state"], document["parallelism"]) == (job_id, QUEUED.value, 3)
        assert after == {**before, document["id"]: restarted}
        before = after
    refused = shell("restart", job_id, code=CONFLICT).stderr
    assert f"job {job_id} is {state} and cannot be restarted: " in refused
    assert shell.entries() == before


@pytest.mark.parametrize("state", State)
def test_the_command_line_rescales_a_job_where_the_rules_allow_it(shell: Shell, state: State) -> None:
    job_id = shell.young[state]
    before = shell.entries()
    if Action.RESCALE in allowed_actions(state):
        document = shell.json("rescale", job_id, 5, "--reason", "more")
        after = shell.entries()
        assert document == document_of(after[job_id])
        assert after == {**before, job_id: after[job_id]} != before
        asked = state in LEASED
        assert after[job_id].job.state is (State.RESCALING if asked else state)
        assert (after[job_id].job.rescale_to, after[job_id].job.parallelism) == ((5, 1) if asked else (None, 5))
        assert shell.json("rescale", job_id, 5) == document
        assert shell.entries() == after
    else:
        assert str(not_allowed(job_id, state, Trigger.RESCALE)) in shell("rescale", job_id, 5, code=CONFLICT).stderr
        assert shell.entries() == before


@pytest.mark.parametrize("word", PRUNE_WORDS)
@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("aged", [False, True])
def test_the_command_line_prunes_the_jobs_of_a_word_and_age_and_no_other(
    shell: Shell, word: str, dry: bool, aged: bool
) -> None:
    before = shell.entries()
    chosen = (shell.old,) if aged else (shell.old, shell.young)
    gone = {jobs[state] for jobs in chosen for state in wanted(word, Dialect.DOCS)}
    options = [*(["--dry-run"] if dry else []), *(["--older-than", "1m"] if aged else [])]
    assert shell.json("prune", "--status", word, *options) == {"deleted": len(gone), "dry_run": dry}
    assert shell.entries() == {job: entry for job, entry in before.items() if dry or job not in gone}


def test_the_command_line_refuses_to_prune_by_any_other_word(shell: Shell) -> None:
    before = shell.entries()
    for word in (*LIVE_WORDS, *NO_WORDS):
        assert "must be one of terminal" in shell("prune", "--status", word, code=USAGE).stderr, word
    assert shell.entries() == before
