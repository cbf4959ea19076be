"""Changing jobs in the pipeline dialect: what is recorded of it, what is refused, and which job goes on from where."""

from __future__ import annotations

from typing import Any, Final

import pytest

from jobstate import Run, State
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import everything
from jobstate.wire.formats import milliseconds
from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api
from tests.adapters.jobs_in_states import LEASE, brought
from tests.adapters.refusing import assert_refused
from tests.adapters.server import Answer

pytestmark = pytest.mark.parametrize("running_api", [Dialect.DOCS], indirect=True, scope="module")

WHO: Final = {"X-Jobstate-Actor": "ana%40example.com", "X-Jobstate-Reason": "wrong input"}


def post(api: Api, path: str, body: object = None, **more: Any) -> Answer:
    return api.server.ask("POST", f"/api/v1/jobs{path}", body=body, **more)


def running(api: Api, **fields: Any) -> Run:
    job = api.store.submit("etl", **fields)
    (run,) = api.store.claim("worker-01", kinds=["etl"], lease=LEASE)
    assert run.id == job.id
    return run


def test_who_and_why_are_recorded_for_every_change(api: Api) -> None:
    stopped, rescaled, restarted = (brought(api.store, state) for state in (State.RUNNING, State.RUNNING, State.FAILED))
    post(api, f"/job_{stopped}/stop", headers=WHO)
    post(api, f"/job_{rescaled}/rescale", {"parallelism": 3}, headers=WHO)
    new = post(api, f"/job_{restarted}/restart", headers=WHO).json["new_job_id"].removeprefix("job_")
    submitted = post(api, "", {"kind": "etl"}, headers=WHO).json["id"].removeprefix("job_")
    for job_id in (stopped, rescaled, int(new), int(submitted)):
        event = api.store.events(job_id)[-1]
        assert (event.actor, event.reason) == ("ana@example.com", "wrong input")
    unnamed = brought(api.store, State.RUNNING)
    post(api, f"/job_{unnamed}/stop")
    assert api.store.events(unnamed)[-1].actor == "http:127.0.0.1"


def test_a_submission_is_answered_with_the_job_and_where_it_is(api: Api) -> None:
    at = milliseconds(api.store.submit("clock").created_at)
    assert at is not None
    fields = {"kind": "etl", "descriptor": {"a": [1, None]}, "pipeline_id": "pipe_1", "parallelism": 4}
    answer = post(api, "", {**fields, "max_attempts": 7, "key": "k", "available_at": at + 60_000})
    job_id = int(answer.json["id"].removeprefix("job_"))
    assert (answer.status, answer.headers["location"]) == (201, f"/api/v1/jobs/job_{job_id}")
    assert answer.json == api.ask("GET", answer.headers["location"]).json
    assert (answer.json["state"], answer.json["run_id"], answer.json["created_at"]) == ("Scheduling", 1, at)
    expected = {"kind": "etl", "descriptor": {"a": [1, None]}, "parallelism": 4, "max_attempts": 7}
    assert answer.json["configuration"] == expected
    assert milliseconds(api.store.get(job_id).available_at) == at + 60_000
    again = post(api, "", {**fields, "key": "k"})
    assert (again.status, again.json, again.headers["location"]) == (200, answer.json, answer.headers["location"])
    assert_refused(post(api, "", {"kind": "load", "key": "k"}), 409, "DUPLICATE_JOB", "its kind is 'etl'")


@pytest.mark.parametrize("said", ["2024-03-01T13:00:00+01:00", 1_709_294_400_000, 1_709_294_400_000.0])
def test_a_job_may_be_submitted_for_later_in_milliseconds_or_as_text(api: Api, said: object) -> None:
    answer = post(api, "", {"kind": "etl", "available_at": said})
    job = api.store.get(int(answer.json["id"].removeprefix("job_")))
    assert job.available_at.isoformat() == "2024-03-01T12:00:00+00:00"


def test_a_held_job_is_created_and_does_not_run(api: Api) -> None:
    shown = post(api, "", {"kind": "etl", "hold": True}).json
    assert (shown["state"], shown["lifecycle"], shown["start_time"]) == ("Created", "Created", None)
    assert shown["allowed_actions"] == ["schedule", "stop", "rescale"]


def test_a_stop_only_gets_harder_and_its_deadline_only_earlier(api: Api) -> None:
    run = running(api)
    first = post(api, f"/job_{run.id}/stop", {"timeout_seconds": 100}, headers=WHO).json["expected_finish_time"]
    later = post(api, f"/job_{run.id}/stop", {"timeout_seconds": 200}).json
    assert later == {"message": "Job stop initiated", "expected_finish_time": first}
    sooner = post(api, f"/job_{run.id}/stop", {"mode": "immediate", "timeout_seconds": 0.5}).json
    assert sooner["expected_finish_time"] == first - 99_500
    shown = api.ask("GET", f"/api/v1/jobs/job_{run.id}").json
    expected = {"mode": "immediate", "deadline": first - 99_500, "reason": "wrong input", "outcome": None}
    assert shown["stop"] == expected
    forced = post(api, f"/job_{run.id}/stop", {"mode": "force"}).json
    shown = api.ask("GET", f"/api/v1/jobs/job_{run.id}").json
    assert (shown["state"], shown["stop"]["outcome"]) == ("Stopped", "forced")
    assert forced == {"message": "Job stop initiated", "expected_finish_time": shown["finish_time"]}
    last = post(api, f"/job_{run.id}/stop").json
    assert last == {"message": "Job already stopped", "expected_finish_time": shown["finish_time"]}


def test_a_stop_ends_at_its_deadline_whatever_its_worker_does(api: Api) -> None:
    run = running(api)
    expected = post(api, f"/job_{run.id}/stop").json["expected_finish_time"]
    clock: ManualClock = api.clock
    clock.advance(30)
    api.store.sweep()
    shown = api.ask("GET", f"/api/v1/jobs/job_{run.id}").json
    assert (shown["finish_time"], shown["stop"]["outcome"]) == (expected, "timed_out")


def test_a_restart_goes_on_from_the_newest_checkpoint_or_the_one_that_is_named(api: Api) -> None:
    run = running(api, pipeline_id="pipe_1", parallelism=2)
    older, newer = run.checkpoint(state=1), run.checkpoint(state=2)
    run.fail("disk gone", retryable=False)
    for body, state, tasks in (
        (None, 2, 2),
        ({}, 2, 2),
        ({"checkpoint_id": older.id}, 1, 2),
        ({"checkpoint_id": str(newer.number), "parallelism": 5}, 2, 5),
        ({"checkpoint_id": older.number, "parallelism": None}, 1, 2),
    ):
        new_id = post(api, f"/job_{run.id}/restart", body).json["new_job_id"]
        shown = api.ask("GET", f"/api/v1/jobs/{new_id}").json
        assert (shown["restarted_from"], shown["tasks"], shown["pipeline_id"]) == (f"job_{run.id}", tasks, "pipe_1")
        (again,) = api.store.claim("worker-01", kinds=["etl"], lease=LEASE)
        assert again.restored is not None
        assert again.restored.state == state
        again.fail("again", retryable=False)


def test_a_restart_from_a_checkpoint_that_is_not_there_or_not_done_is_refused_by_its_reason(api: Api) -> None:
    other = running(api)
    elsewhere = other.checkpoint()
    run = running(api)
    begun = run.begin_checkpoint()
    run.fail("disk gone", retryable=False)
    before = everything(api.store)
    for named in (elsewhere.id, "chk_999999", 2**63 - 1):
        answer = post(api, f"/job_{run.id}/restart", {"checkpoint_id": named})
        assert_refused(answer, 404, "CHECKPOINT_NOT_FOUND", f"of job {run.id} or of those that it restarts")
    answer = post(api, f"/job_{run.id}/restart", {"checkpoint_id": begun.id})
    assert_refused(answer, 409, "RESTART_NOT_ALLOWED", f"checkpoint {begun.id} is failed, not completed")
    assert everything(api.store) == before


def test_a_restart_is_refused_while_another_job_holds_the_key(api: Api) -> None:
    run = running(api, key="nightly")
    run.fail("disk gone", retryable=False)
    holder = api.store.submit("etl", key="nightly")
    answer = post(api, f"/job_{run.id}/restart")
    assert_refused(answer, 409, "DUPLICATE_JOB", f"key 'nightly' is held by live job {holder.id}")


def test_a_worker_hears_of_a_rescale_and_answers_it(api: Api) -> None:
    run = running(api, parallelism=2)
    asked = post(api, f"/job_{run.id}/rescale", {"parallelism": 4}).json
    assert asked == {"message": "Job rescale initiated", "tasks": 2, "parallelism": 4}
    assert post(api, f"/job_{run.id}/rescale", {"parallelism": 6}).json["parallelism"] == 6
    run.heartbeat()
    assert run.rescale_to == 6
    run.rescaled()
    shown = api.ask("GET", f"/api/v1/jobs/job_{run.id}").json
    assert (shown["state"], shown["tasks"], shown["configuration"]["parallelism"]) == ("Running", 6, 6)
    unchanged = post(api, f"/job_{run.id}/rescale", {"parallelism": 6}).json
    assert unchanged == {"message": "Job parallelism set", "tasks": 6, "parallelism": 6}
    assert api.store.get(run).state is State.RUNNING
