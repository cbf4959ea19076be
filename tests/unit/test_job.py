"""The job as a value: a snapshot nobody can change, that says what it holds and survives storage."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobstate.domain import leases
from jobstate.domain.failure import MAX_FAILURE_TEXT, Failure, FailureKind
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.lifecycle import TERMINAL, State
from jobstate.domain.retry import DEFAULT_RETRY, RetryPolicy
from jobstate.domain.stop import SEVERITY, Stop, StopMode, StopOutcome
from jobstate.domain.submission import NewJob, same_submission
from jobstate.storage.mapping import column_of
from tests.unit.building import (
    ERROR,
    HOLDER,
    LEASE,
    NOW,
    OPERATOR,
    TIMEOUT,
    Life,
    claimed,
    failed,
    history,
    job,
    lives,
)

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_job_cannot_be_changed() -> None:
    subject: Any = Job(job())
    with pytest.raises(AttributeError):
        subject.state = State.COMPLETED
    assert not hasattr(subject, "__dict__")


def test_reading_a_job_does_not_let_anyone_change_it() -> None:
    subject = Job(job(descriptor_json='{"a": [1]}', labels_json='{"team": "data"}'))
    subject.descriptor["a"] = 2
    subject.labels.clear()
    assert subject.descriptor == {"a": [1]}
    assert subject.labels == {"team": "data"}


@pytest.mark.parametrize("life", lives().values(), ids=lives())
def test_a_job_survives_a_pickle(life: Life) -> None:
    assert pickle.loads(pickle.dumps(life.job)) == life.job
    assert pickle.loads(pickle.dumps(Job(life.job))) == Job(life.job)


def test_a_job_shows_every_field_once_and_none_in_its_stored_form() -> None:
    shown = {name for name in dir(Job) if not name.startswith("_")}
    assert not [name for name in shown if name.endswith(("_us", "_json"))]
    within_another = {"stop_mode", "stop_deadline_us", "stop_reason", "stop_outcome"}  # of `Job.stop`
    assert {column_of(name) for name in JobRow._fields if name not in within_another} <= shown


@pytest.mark.parametrize("life", lives().values(), ids=lives())
def test_a_job_has_ended_exactly_in_a_terminal_state(life: Life) -> None:
    assert life.job.is_terminal == (life.job.state in TERMINAL) == (life.job.finished_us is not None)


def test_times_are_aware_and_absent_ones_are_none() -> None:
    waiting, running = Job(job()), Job(lives()["Running"].job)
    assert waiting.created_at == waiting.updated_at == waiting.available_at == AT
    assert (waiting.started_at, waiting.finished_at, waiting.lease_expires_at) == (None, None, None)
    assert running.started_at == AT
    assert running.lease_expires_at == AT + timedelta(microseconds=LEASE)


def test_a_lease_is_what_its_holder_names() -> None:
    assert lives()["Running"].job.lease == Lease(7, 1)


def test_a_job_without_a_stop_has_none() -> None:
    assert lives()["Running"].job.stop is None


def test_a_pending_stop_says_how_hard_until_when_and_why() -> None:
    deadline = AT + timedelta(microseconds=TIMEOUT)
    assert lives()["StopRequested, held"].job.stop == Stop(StopMode.CHECKPOINT, deadline, OPERATOR.reason, None)


def test_a_stop_that_ended_at_once_has_an_outcome_and_no_deadline() -> None:
    assert lives()["Stopped"].job.stop == Stop(StopMode.FORCE, None, OPERATOR.reason, StopOutcome.FORCED)


def test_modes_of_a_stop_rise_in_severity() -> None:
    assert SEVERITY == (StopMode.CHECKPOINT, StopMode.IMMEDIATE, StopMode.FORCE)


def test_a_job_without_a_policy_of_its_own_has_the_default() -> None:
    policy = RetryPolicy(initial=5)
    assert job().retry == DEFAULT_RETRY
    assert job(retry_json=json.dumps(policy.to_json())).retry == policy


def test_a_job_shows_itself_in_one_line() -> None:
    assert repr(job()) == "<Job 7 extract Scheduled, attempt 0>"
    assert repr(lives()["Running"].job) == "<Job 7 extract Running on worker-01, attempt 1>"


def test_a_failure_survives_storage() -> None:
    failure = Failure("disk gone: ü\n🚀", FailureKind.FATAL, "OSError", "Traceback …")
    assert Failure.from_json(failure.to_json()) == failure
    assert Failure.from_json(Failure("x").to_json()) == Failure("x", FailureKind.ERROR, None, None)


@pytest.mark.parametrize(
    "message", ["nul \0", "name \udcff", "x" * (MAX_FAILURE_TEXT + 1)], ids=["NUL", "lone", "long"]
)
def test_any_failure_can_be_stored(message: str) -> None:
    stored = Failure(message, traceback=message).to_json()
    stored.encode("utf-8")
    again = Failure.from_json(stored)
    assert again.traceback is not None
    assert max(len(again.message), len(again.traceback)) <= MAX_FAILURE_TEXT
    assert "\0" not in again.message + again.traceback


def test_the_newest_part_of_a_long_traceback_is_kept() -> None:
    stored = Failure("x", traceback="old" + "x" * MAX_FAILURE_TEXT + "new").to_json()
    assert (Failure.from_json(stored).traceback or "").endswith("new")


@pytest.mark.parametrize("kind", FailureKind)
def test_whatever_a_handler_raised_its_history_can_be_stored(kind: FailureKind) -> None:
    running = lives()["Running"].job
    failure = Failure("no such file: caf\udce9", kind, "OSError")
    for step in leases.fail(running, running.lease_token, failure, 0.0, NOW, HOLDER).steps:
        assert step.detail_json is not None and step.failure_json is not None
        step.detail_json.encode("utf-8")
        step.failure_json.encode("utf-8")


def test_a_failure_with_a_long_message_does_not_swell_the_history() -> None:
    stored = failed(lives()["Running"], Failure("x" * 1_000_000)).job.detail_json
    length = len(stored or "")
    assert 0 < length <= 2 * MAX_FAILURE_TEXT


def test_a_job_remembers_its_last_failure_until_it_completes() -> None:
    recovering = failed(lives()["Running"])
    assert recovering.job.failure == ERROR
    again = claimed(recovering)
    assert again.job.failure == ERROR
    assert leases.complete(again.job, again.job.lease_token, NOW, HOLDER).job.failure is None


def test_a_submission_is_born_held_or_in_the_queue() -> None:
    assert NewJob("extract").state is State.SCHEDULED
    assert NewJob("extract", hold=True).state is State.CREATED


def test_an_event_shows_its_time_and_detail_and_whether_it_is_a_note() -> None:
    submitted, requested, raised = history(
        [*lives()["StopRequested, never claimed"].versions, lives()["StopRequested, never claimed"].job]
    )
    assert (submitted.at, submitted.detail, submitted.is_note) == (AT, {}, False)
    assert (requested.detail["mode"], requested.is_note) == ("checkpoint", False)
    assert raised.is_note


@pytest.mark.parametrize(
    ("descriptor", "same"),
    [
        ('{"a":1,"b":[2]}', True),
        ('{ "b" : [2.0], "a": 1 }', True),
        ('{"a":1,"b":[2,3]}', False),
        ('{"a":true,"b":[2]}', False),
        ('{"a":1}', False),
    ],
)
def test_a_submission_is_the_same_when_its_descriptor_is_equal_as_json(descriptor: str, same: bool) -> None:
    live = job(descriptor_json='{"a":1,"b":[2]}')
    why = same_submission(live, NewJob("extract", descriptor))
    assert why is None if same else why == "its descriptor differs"


def test_a_submission_of_another_kind_is_another() -> None:
    assert same_submission(job(), NewJob("load")) == "its kind is 'extract'"


@pytest.mark.parametrize("name", [name for name in lives() if name.startswith("Stop")])
def test_a_submission_does_not_meet_a_job_that_is_to_stop(name: str) -> None:
    subject: JobRow = lives()[name].job
    assert same_submission(subject, NewJob("extract")) == "a stop is pending"
