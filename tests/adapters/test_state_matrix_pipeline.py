"""Every state meets every verb of the pipeline dialect."""

from __future__ import annotations

import pytest

from jobstate import State
from jobstate.domain.errors import JobNotTerminal, RestartNotAllowed
from jobstate.domain.job import row_of
from jobstate.domain.lifecycle import LEASED, LIFECYCLE, LIVE, STOP_PENDING, TERMINAL, Trigger
from jobstate.domain.metrics import Counters
from jobstate.domain.operator_actions import Action, allowed_actions
from jobstate.testing.contract.situations import everything
from jobstate.wire import pipeline
from jobstate.wire.states import Dialect, spelled
from tests.adapters.conftest import Api
from tests.adapters.expectations import after_stop, by_id, not_allowed
from tests.adapters.jobs_in_states import brought
from tests.adapters.test_state_matrix import refused

pytestmark = pytest.mark.parametrize("running_api", [Dialect.DOCS], indirect=True, scope="module")
each_state = pytest.mark.parametrize("state", State)


@each_state
def test_a_job_in_any_state_is_shown_and_nothing_is_changed_by_it(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = everything(api.store)
    answer = api.ask("GET", f"/api/v1/jobs/job_{job_id}")
    assert (answer.status, answer.json) == (200, pipeline.job_document(api.store.get(job_id), Counters()))
    assert (answer.json["state"], answer.json["lifecycle"]) == (spelled(state, Dialect.PIPELINE), state.value)
    assert answer.json["allowed_actions"] == [action.value for action in allowed_actions(state)]
    assert everything(api.store) == before


@each_state
def test_a_stop_succeeds_in_any_state_and_changes_the_job_as_the_table_says_once(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = by_id(api.store)
    answer = api.server.ask("POST", f"/api/v1/jobs/job_{job_id}/stop", body={"timeout_seconds": 600})
    once = by_id(api.store)
    job = once[job_id].job
    assert job.state is after_stop(state)
    assert (once == before) is (after_stop(state) is state)
    if state in TERMINAL:
        message, expected = f"Job already {spelled(state, Dialect.PIPELINE).lower()}", row_of(job).finished_us
    else:
        message, expected = "Job stop initiated", row_of(job).finished_us or row_of(job).stop_deadline_us
    assert expected is not None
    assert (answer.status, answer.json) == (200, {"message": message, "expected_finish_time": expected // 1000})
    assert api.server.ask("POST", f"/api/v1/jobs/{job_id}/stop", body={"timeout_seconds": 600}).status == 200
    assert by_id(api.store) == once


@each_state
def test_a_stop_by_force_ends_any_job_at_once_and_says_when(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    answer = api.server.ask("POST", f"/api/v1/jobs/{job_id}/stop", body={"mode": "force"})
    job = api.store.get(job_id)
    assert job.state is (state if state in TERMINAL else State.STOPPED)
    finished = row_of(job).finished_us
    assert finished is not None
    assert answer.json["expected_finish_time"] == finished // 1000
    assert answer.json["message"].startswith("Job already " if state in TERMINAL else "Job stop initiated")


@each_state
def test_a_job_that_failed_or_was_stopped_is_restarted_once_and_no_other_ever(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = by_id(api.store)
    answer = api.ask("POST", f"/api/v1/jobs/job_{job_id}/restart")
    if Action.RESTART in allowed_actions(state):
        (new_id,) = by_id(api.store).keys() - before.keys()
        assert (answer.status, answer.json) == (200, {"message": "Job restarted", "new_job_id": f"job_{new_id}"})
        assert {job: entry for job, entry in by_id(api.store).items() if job != new_id} == before
        again = api.ask("POST", f"/api/v1/jobs/job_{job_id}/restart")
        refused(again, RestartNotAllowed(job_id, state, f"job {new_id} restarts it already and is live"))
        api.store.stop(new_id, mode="force")
        assert api.ask("POST", f"/api/v1/jobs/job_{job_id}/restart").status == 200
    else:
        why = "it completed and has nothing left to do" if state in TERMINAL else "it is live; stop it first"
        refused(answer, RestartNotAllowed(job_id, state, why))
        assert by_id(api.store) == before


@each_state
def test_another_parallelism_is_asked_for_or_set_wherever_the_job_may_go_on(api: Api, state: State) -> None:
    job_id = brought(api.store, state)
    before = by_id(api.store)
    answer = api.server.ask("POST", f"/api/v1/jobs/job_{job_id}/rescale", body={"parallelism": 8})
    job = api.store.get(job_id)
    if state in LEASED - STOP_PENDING:
        expected = {"message": "Job rescale initiated", "tasks": 1, "parallelism": 8}
        assert (answer.status, answer.json, job.rescale_to) == (200, expected, 8)
        assert job.state is LIFECYCLE[state].get(Trigger.RESCALE, state)
    elif state in LIVE - STOP_PENDING:
        expected = {"message": "Job parallelism set", "tasks": 8, "parallelism": 8}
        assert (answer.status, answer.json, job.state, job.parallelism) == (200, expected, state, 8)
    else:
        refused(answer, not_allowed(job_id, state, Trigger.RESCALE))
        assert by_id(api.store) == before
        return
    once = by_id(api.store)
    assert api.server.ask("POST", f"/api/v1/jobs/job_{job_id}/rescale", body={"parallelism": 8}).json == answer.json
    assert by_id(api.store) == once


@each_state
def test_a_deletion_removes_a_job_that_has_ended_and_leaves_any_other_as_it_was(api: Api, state: State) -> None:
    job_id, other = brought(api.store, state), brought(api.store, state)
    before = by_id(api.store)
    answer = api.ask("DELETE", f"/api/v1/jobs/job_{job_id}")
    if state in TERMINAL:
        assert (answer.status, answer.text, answer.headers["x-deleted-count"]) == (204, "", "1")
        assert by_id(api.store) == {other: before[other]}
        again = api.ask("DELETE", f"/api/v1/jobs/job_{job_id}")
        assert (again.status, again.headers["x-deleted-count"]) == (204, "0")
    else:
        refused(answer, JobNotTerminal(job_id, state))
        assert by_id(api.store) == before
