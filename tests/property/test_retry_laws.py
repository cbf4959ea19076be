"""Laws of retry: delays keep their limits for any count, and the number of charged runs is exact."""

from __future__ import annotations

import json
import math
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobstate.domain import leases
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.lifecycle import State
from jobstate.domain.retry import RetryPolicy
from tests.property.walking import law
from tests.unit.building import HOLDER, LEASE, NOW, SECOND, SWEEPER, born, claimed

LONGEST = timedelta(days=365).total_seconds()
caps = st.floats(0, LONGEST)
attempts = st.one_of(st.integers(1, 100), st.integers(1, 10**9))
chances = st.floats(0, 1)


@st.composite
def policies(draw: st.DrawFn, jitter: st.SearchStrategy[float] = chances) -> RetryPolicy:
    """Any policy that can be made."""
    cap = draw(caps)
    return RetryPolicy(
        initial=draw(st.floats(0, cap)),
        factor=draw(st.one_of(st.floats(1, 3), st.floats(1, 1000))),
        cap=cap,
        jitter=draw(jitter),
        healthy_after=draw(st.none() | st.floats(0, LONGEST)),
        fatal=tuple(draw(st.lists(st.sampled_from(["ValueError", "shop.Broken"]), max_size=2))),
    )


@law
@given(policies(), attempts, chances)
def test_a_delay_lies_between_nothing_and_the_cap(policy: RetryPolicy, failures: int, chance: float) -> None:
    assert 0 <= policy.delay(failures, chance) <= policy.cap


@law
@given(policies(jitter=st.just(0.0)), attempts, st.integers(1, 10**9))
def test_without_jitter_a_delay_never_gets_shorter(policy: RetryPolicy, failures: int, more: int) -> None:
    earlier, later = policy.delay(failures, 0.0), policy.delay(failures + more, 0.0)
    # A power of floats is not exact: the last digits may differ either way.
    assert earlier <= later or math.isclose(earlier, later, rel_tol=1e-12)


@law
@given(policies(), attempts, chances)
def test_chance_never_lengthens_a_delay_nor_takes_more_than_the_jitter(
    policy: RetryPolicy, failures: int, chance: float
) -> None:
    longest = policy.delay(failures, 0.0)
    delay = policy.delay(failures, chance)
    assert delay <= longest
    assert delay >= longest * (1 - policy.jitter) * (1 - 1e-12)


@law
@given(policies())
def test_a_policy_survives_storage(policy: RetryPolicy) -> None:
    assert RetryPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


@law
@given(st.integers(1, 12), st.data())
def test_a_job_is_charged_exactly_as_many_runs_as_it_may_have(most: int, data: st.DataObject) -> None:
    life = born(max_attempts=most)
    now, charged = NOW, 0
    while not life.job.is_terminal:
        now = max(now, life.job.available_us)
        life = claimed(life, now)
        end = data.draw(st.sampled_from(["fail", "die", "release"]) if life.job.attempt < 30 else st.just("die"))
        now += SECOND
        if end == "fail":
            failure = Failure("it broke", FailureKind.ERROR)
            decision = leases.fail(life.job, life.job.lease_token, failure, 0.5, now, HOLDER)
        elif end == "die":
            now += LEASE
            decision = leases.settle(life.job, now, SWEEPER, 0.5)
        else:
            decision = leases.release(life.job, life.job.lease_token, now, now, HOLDER)
        charged += end != "release"
        life = life.after(decision)
        assert life.job.failures == charged
    assert (charged, life.job.state) == (most, State.FAILED)


@law
@given(policies(), attempts, chances)
def test_a_retry_falls_due_within_the_cap(policy: RetryPolicy, failures: int, chance: float) -> None:
    stored = json.dumps(policy.to_json())
    running = claimed(born(retry_json=stored, max_attempts=10**9 + 1, failures=failures, attempt=failures)).job
    again = leases.fail(running, running.lease_token, Failure("it broke"), chance, NOW, HOLDER).job
    assert 0 <= again.available_us - NOW <= round(policy.cap * SECOND)
