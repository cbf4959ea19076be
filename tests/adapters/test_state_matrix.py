"""Every state meets every verb over HTTP, in both profiles."""

from __future__ import annotations

from urllib.parse import quote

import pytest

import jobstate
from jobstate import State
from jobstate.domain.errors import JobNotTerminal
from jobstate.domain.lifecycle import LIFECYCLE, TERMINAL, Trigger
from jobstate.domain.operator_actions import PRUNE_WORDS
from jobstate.testing.contract.situations import everything
from jobstate.testing.paths import WHY
from jobstate.wire import documents
from jobstate.wire.errors import code_of
from jobstate.wire.states import spelled
from tests.adapters.conftest import Api
from tests.adapters.expectations import (
    AGE,
    GROUPS,
    LIVE_WORDS,
    NO_WORDS,
    QUEUED,
    after_stop,
    by_id,
    not_allowed,
    wanted,
)
from tests.adapters.jobs_in_states import brought, one_per_state
from tests.adapters.server import Answer


def refused(answer: Answer, error: jobstate.JobStateError) -> None:
    assert (answer.status, answer.json) == (409, {"error_code": code_of(error), "error_message": str(error)})


@pytest.mark.parametrize("state", State)
def test_a_job_in_any_state_is_shown_as_the_dialect_spells_it(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = everything(api.store)
    answer = api.ask("GET", f"/jobs/{job_id}")
    assert answer.status == 200
    assert answer.json == documents.job_document(api.store.get(job_id), api.dialect)
    assert (answer.json["status"], answer.json["state"]) == (spelled(state, api.dialect), state.value)
    assert everything(api.store) == before


@pytest.mark.parametrize("state", State)
def test_the_progress_of_a_job_in_any_state_is_shown_and_of_a_failed_one_also_why(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = everything(api.store)
    answer = api.ask("GET", f"/jobs/{job_id}/progress")
    detail = {"detail": WHY} if state in GROUPS["error"] else {}
    expected = {"job_id": job_id, "job_status": spelled(state, api.dialect), "tables": {}, **detail}
    assert (answer.status, answer.json) == (200, expected)
    assert everything(api.store) == before


@pytest.mark.parametrize("state", State)
def test_a_stop_succeeds_in_any_state_and_changes_the_job_as_the_table_says_once(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = by_id(api.store)
    answer = api.ask("PUT", f"/jobs/{job_id}/stop")
    assert (answer.status, answer.text) == (200, "")
    once = by_id(api.store)
    assert once[job_id].job.state is after_stop(state)
    assert (once == before) is (after_stop(state) is state)
    assert api.ask("PUT", f"/jobs/{job_id}/stop").status == 200
    assert by_id(api.store) == once


@pytest.mark.parametrize("state", State)
def test_a_deletion_removes_a_job_that_has_ended_and_leaves_any_other_as_it_was(api: Api, state: State) -> None:
    job_id, other = brought(api.store, state), brought(api.store, state)
    before = by_id(api.store)
    answer = api.ask("DELETE", f"/jobs/{job_id}")
    if state in TERMINAL:
        assert (answer.status, answer.text) == (204, "")
        assert by_id(api.store) == {other: before[other]}
        assert api.ask("DELETE", f"/jobs/{job_id}").status == 204
    else:
        refused(answer, JobNotTerminal(job_id, state))
        assert answer.json["error_code"] == "JOB_CONFLICT"
        assert by_id(api.store) == before


@pytest.mark.parametrize("state", State)
def test_a_schedule_releases_a_held_job_leaves_a_queued_one_and_is_refused_elsewhere(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = by_id(api.store)
    answer = api.ask("PUT", f"/jobs/{job_id}/schedule")
    if Trigger.SCHEDULE in LIFECYCLE[state] or state is QUEUED:
        assert answer.status == 200
        assert answer.json == documents.job_document(api.store.get(job_id), api.dialect)
        assert answer.json["state"] == QUEUED.value
        assert (by_id(api.store) == before) is (state is QUEUED)
    else:
        refused(answer, not_allowed(job_id, state, Trigger.SCHEDULE))
        assert by_id(api.store) == before


@pytest.mark.parametrize("state", State)
def test_an_operator_fails_a_job_wherever_the_table_lets_one_fail(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = by_id(api.store)
    answer = api.server.ask("PUT", f"/jobs/{job_id}/fail", headers={"X-Jobstate-Reason": "hopeless"})
    if Trigger.FAIL in LIFECYCLE[state]:
        assert (answer.status, answer.json) == (200, documents.job_document(api.store.get(job_id), api.dialect))
        assert answer.json["state"] == LIFECYCLE[state][Trigger.FAIL].value
        assert answer.json["failure"]["message"] == "hopeless"
    else:
        refused(answer, not_allowed(job_id, state, Trigger.FAIL))
        assert by_id(api.store) == before


@pytest.mark.parametrize("word", PRUNE_WORDS)
@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("aged", [False, True])
def test_pruning_removes_the_jobs_of_its_word_and_age_and_no_other(api: Api, word: str, dry: bool, aged: bool) -> None:
    old = one_per_state(api.store)
    api.clock.advance(AGE)
    young = one_per_state(api.store)
    before = by_id(api.store)
    gone = {jobs[state] for jobs in ((old,) if aged else (old, young)) for state in wanted(word, api.dialect)}
    query = f"status={word}{'&older_than=1m' if aged else ''}{'&dry_run=true' if dry else ''}"
    answer = api.ask("DELETE", f"/jobs?{query}")
    assert (answer.status, answer.text, answer.headers["x-deleted-count"]) == (204, "", str(len(gone)))
    assert by_id(api.store) == {job: entry for job, entry in before.items() if dry or job not in gone}


def test_pruning_by_any_word_but_those_of_ended_jobs_is_refused(api: Api) -> None:
    one_per_state(api.store)
    before = everything(api.store)
    for word in (*LIVE_WORDS, *NO_WORDS):
        answer = api.ask("DELETE", f"/jobs?status={quote(word)}")
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_QUERY_PARAM"), word
        assert answer.json["error_message"].startswith("status: must be one of terminal, ")
    assert everything(api.store) == before
