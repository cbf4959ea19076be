"""How long a failed run waits, how many may fail, and which failures are not tried again."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest

from jobstate.domain import leases
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.lifecycle import State
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from tests.unit.building import LEASE, NOW, SECOND, SWEEPER, born, claimed, failed


def test_delays_double_up_to_the_cap() -> None:
    policy = RetryPolicy(initial=1, factor=2, cap=10, jitter=0)
    assert [policy.delay(failures, 0.0) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_jitter_takes_off_up_to_its_share() -> None:
    policy = RetryPolicy(initial=8, cap=8, jitter=0.25)
    assert policy.delay(1, 0.0) == 8
    assert policy.delay(1, 0.5) == 7
    assert policy.delay(1, 1.0) == 6


def test_a_delay_does_not_overflow_after_many_failures() -> None:
    assert DEFAULT_RETRY.delay(10**9, 0.0) == DEFAULT_RETRY.cap
    assert RetryPolicy(initial=1, factor=1000, cap=1, jitter=0).delay(10**9, 0.0) == 1


def test_a_delay_does_not_overflow_however_small_it_began() -> None:
    assert RetryPolicy(initial=0.000_001, jitter=0).delay(2_000, 0.0) == 300
    assert RetryPolicy(initial=1e-308).initial == 0, "delays are stored to the microsecond"


def test_no_delay_stays_no_delay() -> None:
    assert RetryPolicy(initial=0).delay(1, 0.0) == RetryPolicy(initial=0).delay(10**9, 1.0) == 0


def test_a_constant_delay_needs_no_growth() -> None:
    assert RetryPolicy(initial=5, factor=1, cap=5, jitter=0).delay(10**9, 0.3) == 5


def test_durations_may_be_timedeltas() -> None:
    policy = RetryPolicy(timedelta(seconds=2), cap=timedelta(minutes=1), healthy_after=timedelta(hours=1))
    assert (policy.initial, policy.cap, policy.healthy_after) == (2.0, 60.0, 3600.0)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("retry.initial", {"initial": -1}),
        ("retry.initial", {"initial": math.nan}),
        ("retry.initial", {"initial": "1"}),
        ("retry.initial", {"initial": True}),
        ("retry.initial", {"initial": 301}),
        ("retry.cap", {"cap": math.inf}),
        ("retry.cap", {"cap": timedelta(days=366)}),
        ("retry.factor", {"factor": 0.5}),
        ("retry.factor", {"factor": 1001}),
        ("retry.factor", {"factor": math.nan}),
        ("retry.jitter", {"jitter": -0.1}),
        ("retry.jitter", {"jitter": 1.1}),
        ("retry.jitter", {"jitter": True}),
        ("retry.healthy_after", {"healthy_after": -1}),
        ("retry.fatal", {"fatal": (3,)}),
        ("retry.fatal", {"fatal": ("",)}),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as found:
        RetryPolicy(**arguments)
    assert found.value.field == field


def test_a_policy_survives_storage() -> None:
    policy = RetryPolicy(0.5, 3, 60, 0.1, 3600, (ValueError, "shop.Broken"))
    assert RetryPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy
    assert RetryPolicy.from_json(DEFAULT_RETRY.to_json()) == DEFAULT_RETRY


class Broken(ValueError):
    """An exception of a handler."""


def test_fatal_names_exceptions_and_all_that_derive_from_them() -> None:
    policy = RetryPolicy(fatal=(ValueError,))
    assert policy.fatal == ("ValueError",)
    assert policy.is_fatal(ValueError())
    assert policy.is_fatal(Broken())
    assert not policy.is_fatal(KeyError())


def test_fatal_may_be_a_qualified_name() -> None:
    policy = RetryPolicy(fatal=(f"{__name__}.Broken",))
    assert policy == RetryPolicy(fatal=(Broken,))
    assert policy.is_fatal(Broken())
    assert not policy.is_fatal(ValueError())


def test_fatal_knows_the_exceptions_of_a_script_that_is_run_and_imported() -> None:
    as_main = type("Broken", (Exception,), {"__module__": "__main__", "__qualname__": "Broken"})
    submitted_by_the_script = RetryPolicy(fatal=(as_main,))
    assert submitted_by_the_script.is_fatal(Broken())  # the worker imported the script
    assert RetryPolicy(fatal=(Broken,)).is_fatal(as_main())  # the script is the worker
    assert not submitted_by_the_script.is_fatal(ValueError())
    assert not RetryPolicy(fatal=("tasks.Other", "NotBroken")).is_fatal(as_main())


def test_a_run_is_healthy_once_it_lasted_long_enough() -> None:
    policy = RetryPolicy(healthy_after=60)
    assert not policy.ran_healthily(60 * SECOND - 1)
    assert policy.ran_healthily(60 * SECOND)
    assert not RetryPolicy().ran_healthily(10**18)


@pytest.mark.parametrize("most", [1, 2, 3, 10])
def test_max_attempts_n_allows_n_charged_runs(most: int) -> None:
    life = born(max_attempts=most)
    runs = 0
    while not life.job.is_terminal:
        life = failed(claimed(life))
        runs += 1
    assert runs == most
    assert (life.job.state, life.job.failures, life.job.attempt) == (State.FAILED, most, most)


def test_three_runs_are_allowed_unless_told_otherwise() -> None:
    assert DEFAULT_MAX_ATTEMPTS == 3


def test_a_healthy_run_begins_a_new_series() -> None:
    life = born(retry_json=json.dumps(RetryPolicy(healthy_after=60).to_json()), max_attempts=2)
    for hour in range(5):
        begun = NOW + hour * 3600 * SECOND
        life = failed(claimed(life, begun), now=begun + 60 * SECOND)
        assert (life.job.state, life.job.failures) == (State.RECOVERING, 1)


def test_a_job_whose_worker_dies_at_every_claim_ends_however_late_that_is_noticed() -> None:
    life = born(retry_json=json.dumps(RetryPolicy(healthy_after=60).to_json()), max_attempts=3)
    for claims in range(1, 4):
        begun = NOW + claims * 3600 * SECOND
        life = claimed(life, begun, LEASE)
        noticed = begun + LEASE + 120 * SECOND
        life = life.after(leases.settle(life.job, noticed, SWEEPER, 0.0))
        assert life.job.failures == claims
    assert life.job.state is State.FAILED
