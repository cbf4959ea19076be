"""Values as the pipeline dialect shows them, where no request over HTTP can tell the difference."""

from __future__ import annotations

import re

import pytest

from jobstate.domain.errors import InvalidRequest
from jobstate.domain.failure import Failure
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import LIFECYCLE, LIVE, State, Trigger
from jobstate.domain.metrics import Counters
from jobstate.domain.stop import StopOutcome
from jobstate.wire import pipeline
from tests.unit.building import ERROR, born, claimed, failed, lives, one_per_state, stopped
from tests.values import replace


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("created_at", "created_at"),
        ("-created_at", "-created_at"),
        ("start_time", "started_at"),
        ("-start_time", "-started_at"),
        ("finish_time:desc", "-finished_at"),
        ("finish_time:asc", "finished_at"),
        ("state", "state"),
        ("run_id:desc", "-run_id"),
    ],
)
def test_an_order_is_read_in_each_way_of_writing_it(text: str, order: str) -> None:
    assert pipeline.parse_sort(text) == order
    assert re.match(pipeline.SORT_PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", ":", "id", "started_at", "created_at:", "created_at:down", ":desc", "-created_at:desc", "--state"),
        *(" state", "State", "state,run_id", "created_at:desc:", "+state", "tasks"),
    ],
)
def test_what_is_no_order_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="sort: must be FIELD, -FIELD or FIELD:desc, of created_at, start_time"):
        pipeline.parse_sort(text)
    assert not re.match(pipeline.SORT_PATTERN, text)


def test_metrics_stand_where_the_published_job_has_them_and_are_left_out_unasked() -> None:
    job = born().job
    shown = pipeline.job_document(Job(job), Counters(1, 2, 3, 4, 5, 6))
    names = ["records_in", "records_out", "bytes_in", "bytes_out", "errors", "warnings"]
    assert list(shown["metrics"].items()) == list(zip(names, range(1, 7), strict=True))
    names = list(shown)
    assert names[names.index("metrics") - 1] == "created_at"
    assert pipeline.job_document(Job(job)) == {name: value for name, value in shown.items() if name != "metrics"}


@pytest.mark.parametrize("state", State)
def test_a_job_is_to_run_until_its_stop_is_requested_or_it_has_ended(state: State) -> None:
    shown = pipeline.job_document(Job(one_per_state()[state]))
    may_go_on = state in LIVE and Trigger.BEGIN_STOP not in LIFECYCLE[state] and state is not State.STOPPING
    assert shown["running_desired"] is may_go_on


def test_a_failure_is_shown_until_the_job_runs_again_and_where_it_ended_the_job() -> None:
    message = ERROR.message
    recovering = failed(claimed(born()))
    assert pipeline.job_document(Job(recovering.job))["failure_message"] == message
    again = claimed(recovering)
    assert again.job.failure == ERROR
    assert pipeline.job_document(Job(again.job))["failure_message"] is None
    assert pipeline.job_document(Job(stopped(again).job))["failure_message"] is None
    ended = failed(stopped(claimed(born())))
    assert (ended.job.state, ended.job.stop_outcome) == (State.STOPPED, StopOutcome.WORKER_FAILED)
    assert pipeline.job_document(Job(ended.job))["failure_message"] == message
    elsewhere = replace(ended.job, stop_outcome=StopOutcome.CHECKPOINTED)
    assert pipeline.job_document(Job(elsewhere))["failure_message"] is None
    lost = replace(lives()["Failed"].job, failure_json=Failure("no space").to_json())
    assert pipeline.job_document(Job(lost))["failure_message"] == "no space"


def test_what_is_left_of_a_millisecond_is_dropped() -> None:
    job = replace(born().job, created_us=1_704_067_200_000_999)
    assert pipeline.job_document(Job(job))["created_at"] == 1_704_067_200_000
