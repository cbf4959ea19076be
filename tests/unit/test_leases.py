"""Who may write, what each verb of a worker does, and what happens when the worker is gone."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from jobstate.domain import leases
from jobstate.domain.errors import LeaseLost, TransitionNotAllowed
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.job_row import JobRow
from jobstate.domain.leases import ClockWatch
from jobstate.domain.lifecycle import CLAIMABLE, LEASED, LIFECYCLE, STOP_PENDING, TERMINAL, State, Trigger
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.domain.transitions import Decision
from tests.unit.building import (
    ERROR,
    FATAL,
    HOLDER,
    LEASE,
    NOW,
    OPERATOR,
    SECOND,
    SWEEPER,
    TIMEOUT,
    WORKER,
    Life,
    agreed,
    born,
    claimed,
    clean,
    completed,
    failed,
    job,
    lives,
    released,
    rescaled,
    stopped,
    triggers,
)
from tests.values import replace

LATER = NOW + SECOND
ALL = lives()
UNHELD = sorted(name for name, life in ALL.items() if life.job.worker_id is None)
HELD_ONES = sorted(name for name, life in ALL.items() if life.job.worker_id is not None)
PENDING = sorted(name for name in HELD_ONES if ALL[name].job.state in STOP_PENDING)
WORKING = sorted(set(HELD_ONES) - set(PENDING))

VERBS: dict[str, Callable[[JobRow, int], Decision]] = {
    "renew": lambda subject, token: leases.renew(subject, token, LATER + LEASE, LATER),
    "complete": lambda subject, token: leases.complete(subject, token, LATER, HOLDER),
    "fail": lambda subject, token: leases.fail(subject, token, ERROR, 0.0, LATER, HOLDER),
    "fail fatally": lambda subject, token: leases.fail(subject, token, FATAL, 0.0, LATER, HOLDER),
    "release": lambda subject, token: leases.release(subject, token, LATER, LATER, HOLDER),
    "begin_stop": lambda subject, token: leases.begin_stop(subject, token, LATER, HOLDER),
    "finish_stop": lambda subject, token: leases.finish_stop(subject, token, LATER, HOLDER),
}
CALLS: dict[str, Callable[[JobRow, int], object]] = {"check_lease": leases.check_lease, **VERBS}


class TestClaim:
    def test_it_takes_the_lease_raises_the_token_and_counts_the_attempt(self) -> None:
        decision = leases.claim(job(), WORKER, LATER + LEASE, LATER, HOLDER)
        taken = decision.job
        assert triggers(decision) == [Trigger.CLAIM]
        assert (taken.state, taken.worker_id, taken.lease_expires_us) == (State.RUNNING, WORKER, LATER + LEASE)
        assert (taken.lease_token, taken.attempt, taken.failures) == (1, 1, 0)
        assert (taken.claimed_us, taken.started_us) == (LATER, LATER)
        assert taken.node_id == ""

    def test_a_later_one_keeps_the_first_start_and_the_charged_runs(self) -> None:
        again = claimed(failed(claimed(born())), LATER).job
        assert (again.claimed_us, again.started_us) == (LATER, NOW)
        assert (again.attempt, again.failures, again.lease_token) == (2, 1, 3)

    def test_nothing_is_clean_before_the_first_checkpoint_of_a_lease(self) -> None:
        assert not claimed(released(clean(claimed(born())))).job.clean

    @pytest.mark.parametrize("name", ALL)
    def test_only_waiting_jobs_may_be_claimed(self, name: str) -> None:
        subject = ALL[name].job
        assert leases.claimable(subject, WORKER, NOW + 1000 * SECOND) == (subject.state in CLAIMABLE)
        if subject.state not in CLAIMABLE:
            with pytest.raises(TransitionNotAllowed):
                leases.claim(subject, WORKER, LATER + LEASE, LATER, HOLDER)

    def test_a_job_is_due_at_its_time_and_not_before(self) -> None:
        delayed = job(available_us=LATER)
        assert not leases.claimable(delayed, WORKER, LATER - 1)
        assert leases.claimable(delayed, WORKER, LATER)

    def test_a_pinned_job_waits_for_its_node(self) -> None:
        pinned = job(node_id="worker-02")
        assert not leases.claimable(pinned, WORKER, NOW)
        assert leases.claimable(pinned, "worker-02", NOW)


class TestFencing:
    @pytest.mark.parametrize("name", ALL)
    def test_a_stale_token_is_lease_lost_before_anything_else(self, name: str) -> None:
        subject = ALL[name].job
        for stale in {subject.lease_token - 1, subject.lease_token + 1} - {0}:
            for call in CALLS.values():
                with pytest.raises(LeaseLost) as found:
                    call(subject, stale)
                assert (found.value.job_id, found.value.token) == (subject.id, stale)

    @pytest.mark.parametrize("verb", CALLS)
    def test_a_worker_that_gave_its_lease_back_is_fenced_at_once(self, verb: str) -> None:
        running = claimed(born())
        for gone in (released(running), failed(running), stopped(running, StopMode.FORCE)):
            with pytest.raises(LeaseLost):
                CALLS[verb](gone.job, running.job.lease_token)

    @pytest.mark.parametrize("name", HELD_ONES)
    def test_a_worker_is_fenced_by_the_sweep_that_finds_its_lease_lost(self, name: str) -> None:
        subject = ALL[name].job
        swept = leases.settle(subject, NOW + LEASE, SWEEPER, 0.0).job
        for call in CALLS.values():
            with pytest.raises(LeaseLost):
                call(swept, subject.lease_token)

    @pytest.mark.parametrize("name", HELD_ONES)
    def test_a_worker_is_fenced_by_an_operators_fail(self, name: str) -> None:
        subject = ALL[name].job
        given_up = leases.fail_by_operator(subject, "wrong cluster", LATER, OPERATOR).job
        for call in CALLS.values():
            with pytest.raises(LeaseLost):
                call(given_up, subject.lease_token)

    @pytest.mark.parametrize("name", HELD_ONES)
    def test_the_row_decides_not_the_clock(self, name: str) -> None:
        in_time = ALL[name].job
        late = replace(in_time, lease_expires_us=NOW - 1000 * SECOND)
        for verb in ("renew", "complete", "fail", "fail fatally", "release"):
            assert VERBS[verb](late, late.lease_token).job == VERBS[verb](in_time, in_time.lease_token).job

    @pytest.mark.parametrize("name", UNHELD)
    def test_nobody_holds_an_unheld_job_whatever_the_token(self, name: str) -> None:
        subject = ALL[name].job
        with pytest.raises(LeaseLost):
            leases.check_lease(subject, subject.lease_token)


class TestRenew:
    @pytest.mark.parametrize("name", HELD_ONES)
    def test_it_prolongs_the_lease_in_every_leased_state_without_history(self, name: str) -> None:
        subject = ALL[name].job
        decision = leases.renew(subject, subject.lease_token, LATER + LEASE, LATER)
        assert decision == Decision(replace(subject, lease_expires_us=LATER + LEASE))

    @pytest.mark.parametrize("name", PENDING)
    def test_it_ends_a_stop_at_its_deadline(self, name: str) -> None:
        subject = ALL[name].job
        before = leases.renew(subject, subject.lease_token, NOW + TIMEOUT + LEASE, NOW + TIMEOUT - 1)
        assert before.job.state is subject.state
        ended = leases.renew(before.job, subject.lease_token, NOW + TIMEOUT + LEASE, NOW + TIMEOUT).job
        assert (ended.state, ended.stop_outcome) == (State.STOPPED, StopOutcome.TIMED_OUT)
        assert (ended.actor, ended.reason) == (f"sweep:{WORKER}", OPERATOR.reason)
        assert ended.lease_token == subject.lease_token + 1


class TestComplete:
    @pytest.mark.parametrize("name", HELD_ONES)
    def test_it_ends_every_held_job_for_completion_beats_a_stop(self, name: str) -> None:
        subject = ALL[name].job
        decision = leases.complete(subject, subject.lease_token, LATER, HOLDER)
        done = decision.job
        assert triggers(decision) == [Trigger.COMPLETE]
        assert (done.state, done.finished_us, done.worker_id) == (State.COMPLETED, LATER, None)
        assert done.lease_token == subject.lease_token
        assert done.stop_outcome is None

    def test_it_forgets_the_failures_of_earlier_runs(self) -> None:
        assert completed(claimed(failed(claimed(born())))).job.failure is None


class TestFail:
    @pytest.mark.parametrize("name", WORKING)
    def test_a_retryable_failure_is_tried_again_after_its_delay(self, name: str) -> None:
        subject = ALL[name].job
        decision = leases.fail(subject, subject.lease_token, ERROR, 0.0, LATER, HOLDER)
        again = decision.job
        assert triggers(decision) == [Trigger.RECOVER]
        assert (again.state, again.failures, again.available_us) == (State.RECOVERING, 1, LATER + SECOND)
        assert (again.failure, again.lease_token) == (ERROR, subject.lease_token + 1)
        assert json.loads(again.detail_json or "") == {"failure": "disk gone", "failures": 1, "retry_in": 1.0}

    def test_the_delay_takes_the_jitter_that_chance_gives(self) -> None:
        subject = ALL["Running"].job
        assert leases.fail(subject, 1, ERROR, 1.0, NOW, HOLDER).job.available_us == NOW + SECOND * 3 // 4

    @pytest.mark.parametrize("name", HELD_ONES)
    def test_a_fatal_failure_is_not_tried_again(self, name: str) -> None:
        subject = ALL[name].job
        decision = leases.fail(subject, subject.lease_token, FATAL, 0.0, LATER, HOLDER)
        assert triggers(decision) == [Trigger.FAIL]
        assert (decision.job.state, decision.job.failure) == (State.FAILED, FATAL)
        assert decision.job.lease_token == subject.lease_token

    @pytest.mark.parametrize("name", PENDING)
    def test_a_retryable_failure_ends_a_pending_stop_and_keeps_its_message(self, name: str) -> None:
        subject = ALL[name].job
        ended = leases.fail(subject, subject.lease_token, ERROR, 0.0, LATER, HOLDER).job
        assert (ended.state, ended.stop_outcome) == (State.STOPPED, StopOutcome.WORKER_FAILED)
        assert ended.failure == ERROR
        assert ended.failures == subject.failures

    @pytest.mark.parametrize("name", WORKING)
    def test_the_last_attempt_fails_the_job(self, name: str) -> None:
        subject = lives(max_attempts=1)[name].job
        ended = leases.fail(subject, subject.lease_token, ERROR, 0.0, LATER, HOLDER).job
        assert (ended.state, ended.failures, ended.lease_token) == (State.FAILED, 1, subject.lease_token)


class TestRelease:
    @pytest.mark.parametrize("name", WORKING)
    def test_it_hands_the_job_back_uncharged(self, name: str) -> None:
        subject = ALL[name].job
        decision = leases.release(subject, subject.lease_token, LATER + SECOND, LATER, HOLDER)
        back = decision.job
        assert triggers(decision) == [Trigger.RELEASE]
        assert (back.state, back.available_us, back.worker_id) == (State.SCHEDULED, LATER + SECOND, None)
        assert (back.failures, back.attempt, back.lease_token) == (0, 1, subject.lease_token + 1)

    @pytest.mark.parametrize("name", PENDING)
    def test_it_ends_a_pending_stop(self, name: str) -> None:
        subject = ALL[name].job
        ended = leases.release(subject, subject.lease_token, LATER, LATER, HOLDER).job
        assert (ended.state, ended.stop_outcome) == (State.STOPPED, StopOutcome.NO_CHECKPOINT)


class TestStopping:
    def test_the_worker_agrees_once(self) -> None:
        asked = ALL["StopRequested, held"].job
        agreed_once = leases.begin_stop(asked, 1, LATER, HOLDER)
        assert triggers(agreed_once) == [Trigger.BEGIN_STOP]
        assert agreed_once.job.lease_token == asked.lease_token
        assert leases.begin_stop(agreed_once.job, 1, LATER, HOLDER) == Decision(agreed_once.job)

    @pytest.mark.parametrize(
        ("name", "edges"),
        [
            ("Stopping, held", [Trigger.FINISH_STOP]),
            ("StopRequested, held", [Trigger.BEGIN_STOP, Trigger.FINISH_STOP]),
        ],
    )
    def test_finishing_writes_every_edge_on_the_way(self, name: str, edges: list[str]) -> None:
        decision = leases.finish_stop(ALL[name].job, 1, LATER, HOLDER)
        assert triggers(decision) == edges
        assert (decision.job.state, decision.job.finished_us) == (State.STOPPED, LATER)
        assert json.loads(decision.job.detail_json or "") == {"outcome": "no_checkpoint"}

    @pytest.mark.parametrize(
        ("mode", "is_clean", "outcome"),
        [
            (StopMode.CHECKPOINT, True, StopOutcome.CHECKPOINTED),
            (StopMode.CHECKPOINT, False, StopOutcome.NO_CHECKPOINT),
            (StopMode.IMMEDIATE, True, StopOutcome.IMMEDIATE),
            (StopMode.IMMEDIATE, False, StopOutcome.IMMEDIATE),
        ],
    )
    def test_the_outcome_tells_whether_anything_was_lost(
        self, mode: StopMode, is_clean: bool, outcome: StopOutcome
    ) -> None:
        subject = replace(stopped(claimed(born()), mode).job, clean=is_clean)
        assert leases.finish_stop(subject, 1, LATER, HOLDER).job.stop_outcome is outcome

    @pytest.mark.parametrize("name", WORKING)
    @pytest.mark.parametrize("verb", ["begin_stop", "finish_stop"])
    def test_nobody_stops_who_was_not_asked(self, verb: str, name: str) -> None:
        with pytest.raises(TransitionNotAllowed) as found:
            VERBS[verb](ALL[name].job, 1)
        assert found.value.trigger == verb


class TestRepeats:
    @pytest.mark.parametrize(
        ("verb", "ended"),
        [
            ("complete", completed(claimed(born()))),
            ("complete", completed(stopped(claimed(born())))),
            ("fail fatally", failed(claimed(born()), FATAL)),
            ("fail", failed(claimed(born(max_attempts=1)))),
            ("fail", failed(stopped(claimed(born())))),
            ("finish_stop", Life(leases.finish_stop(ALL["Stopping, held"].job, 1, NOW, HOLDER).job, ())),
            ("finish_stop", Life(leases.finish_stop(ALL["StopRequested, held"].job, 1, NOW, HOLDER).job, ())),
            ("begin_stop", agreed(stopped(claimed(born())))),
        ],
    )
    def test_a_verb_succeeds_without_an_event_where_its_reply_was_lost(self, verb: str, ended: Life) -> None:
        assert VERBS[verb](ended.job, 1) == Decision(ended.job)

    @pytest.mark.parametrize("verb", ["complete", "fail", "finish_stop"])
    def test_an_end_is_not_turned_into_another_by_the_worker_that_made_it(self, verb: str) -> None:
        ends = {
            "complete": completed(claimed(born())).job,
            "fail": failed(claimed(born()), FATAL).job,
            "finish_stop": leases.finish_stop(ALL["Stopping, held"].job, 1, NOW, HOLDER).job,
        }
        for made_by, ended in ends.items():
            if made_by == verb:
                assert VERBS[verb](ended, 1) == Decision(ended)
            else:
                with pytest.raises(TransitionNotAllowed):
                    VERBS[verb](ended, 1)

    def test_a_failure_that_is_tried_again_is_not_charged_twice(self) -> None:
        recovering = failed(claimed(born()))
        with pytest.raises(LeaseLost):
            leases.fail(recovering.job, 1, ERROR, 0.0, LATER, HOLDER)
        assert recovering.job.failures == 1


class TestSettle:
    @pytest.mark.parametrize("name", WORKING)
    def test_a_lost_lease_is_charged_and_tried_again(self, name: str) -> None:
        subject = ALL[name].job
        decision = leases.settle(subject, NOW + LEASE, SWEEPER, 0.0)
        again = decision.job
        assert triggers(decision) == [Trigger.RECOVER]
        assert (again.state, again.failures, again.available_us) == (State.RECOVERING, 1, NOW + LEASE + SECOND)
        assert (again.actor, again.reason) == (SWEEPER.name, f"the lease of {WORKER} ran out")
        assert again.failure == Failure(f"the lease of {WORKER} ran out", FailureKind.ERROR, "lease")
        assert again.lease_token == subject.lease_token + 1

    def test_a_lease_lost_in_the_last_attempt_fails_the_job_and_fences_the_worker(self) -> None:
        subject = lives(max_attempts=1)["Running"].job
        ended = leases.settle(subject, NOW + LEASE, SWEEPER, 0.0).job
        assert (ended.state, ended.failures, ended.lease_token) == (State.FAILED, 1, subject.lease_token + 1)

    @pytest.mark.parametrize("name", HELD_ONES)
    def test_a_lease_is_not_lost_before_its_time(self, name: str) -> None:
        subject = ALL[name].job
        assert leases.settle(subject, NOW + LEASE - 1, SWEEPER, 0.0) == Decision(subject)
        assert leases.lease_lost(subject, NOW + LEASE)

    @pytest.mark.parametrize("name", PENDING)
    def test_a_lease_lost_while_stopping_ends_the_stop(self, name: str) -> None:
        subject = ALL[name].job
        decision = leases.settle(subject, NOW + LEASE, SWEEPER, 0.0)
        ended = decision.job
        assert triggers(decision) == [Trigger.HALT]
        assert (ended.stop_outcome, ended.actor, ended.reason) == (
            StopOutcome.WORKER_LOST,
            SWEEPER.name,
            OPERATOR.reason,
        )
        assert ended.lease_token == subject.lease_token + 1

    @pytest.mark.parametrize("name", PENDING)
    @pytest.mark.parametrize(
        ("lease", "outcome"),
        [
            (TIMEOUT + 1, StopOutcome.TIMED_OUT),
            (TIMEOUT, StopOutcome.WORKER_LOST),
            (TIMEOUT - 1, StopOutcome.WORKER_LOST),
        ],
    )
    def test_whichever_came_first_names_the_outcome(self, name: str, lease: int, outcome: StopOutcome) -> None:
        subject = replace(ALL[name].job, lease_expires_us=NOW + lease)
        for when in (NOW + TIMEOUT, NOW + 2 * TIMEOUT):
            assert leases.settle(subject, when, SWEEPER, 0.0).job.stop_outcome is outcome

    @pytest.mark.parametrize(
        ("name", "outcome"),
        [
            ("StopRequested, never claimed", StopOutcome.NEVER_STARTED),
            ("StopRequested, ran before", StopOutcome.BETWEEN_RUNS),
        ],
    )
    def test_whoever_looks_next_ends_a_stop_that_nobody_holds(self, name: str, outcome: StopOutcome) -> None:
        subject = ALL[name].job
        decision = leases.settle(subject, LATER, SWEEPER, 0.0)
        assert triggers(decision) == [Trigger.BEGIN_STOP, Trigger.FINISH_STOP]
        assert (decision.job.state, decision.job.stop_outcome) == (State.STOPPED, outcome)
        assert {(step.actor, step.reason) for step in decision.steps} == {(SWEEPER.name, OPERATOR.reason)}

    @pytest.mark.parametrize("name", ["StopRequested, never claimed", "StopRequested, ran before"])
    def test_a_second_stop_leaves_an_unheld_one_alone_until_its_deadline(self, name: str) -> None:
        subject = ALL[name].job
        assert leases.settle(subject, NOW + TIMEOUT - 1, SWEEPER, 0.0, unheld_too=False) == Decision(subject)
        assert leases.settle(subject, NOW + TIMEOUT, SWEEPER, 0.0, unheld_too=False).job.is_terminal

    @pytest.mark.parametrize("name", sorted(n for n, life in ALL.items() if life.job.state not in LEASED))
    def test_nothing_is_overdue_about_a_job_that_waits_or_has_ended(self, name: str) -> None:
        subject = ALL[name].job
        assert leases.settle(subject, NOW + 10**15, SWEEPER, 0.0) == Decision(subject)

    @pytest.mark.parametrize("name", HELD_ONES)
    def test_settling_twice_is_settling_once(self, name: str) -> None:
        once = leases.settle(ALL[name].job, NOW + TIMEOUT, SWEEPER, 0.0).job
        assert leases.settle(once, NOW + TIMEOUT, SWEEPER, 0.0) == Decision(once)


class TestOperator:
    @pytest.mark.parametrize("name", ALL)
    def test_an_operator_fails_whatever_the_table_lets_fail(self, name: str) -> None:
        subject = ALL[name].job
        if Trigger.FAIL not in LIFECYCLE[subject.state]:
            with pytest.raises(TransitionNotAllowed):
                leases.fail_by_operator(subject, "wrong cluster", LATER, OPERATOR)
            return
        ended = leases.fail_by_operator(subject, "wrong cluster", LATER, OPERATOR).job
        assert ended.failure == Failure("wrong cluster", FailureKind.FATAL, "operator")
        assert (ended.state, ended.actor, ended.failures) == (State.FAILED, OPERATOR.name, subject.failures)
        assert ended.lease_token == subject.lease_token + (subject.worker_id is not None)

    def test_a_held_job_is_let_into_the_queue(self) -> None:
        decision = leases.schedule(ALL["Created"].job, LATER, OPERATOR)
        assert triggers(decision) == [Trigger.SCHEDULE]
        assert (decision.job.state, decision.job.available_us) == (State.SCHEDULED, LATER)

    def test_a_delayed_start_is_kept(self) -> None:
        delayed = job(state=State.CREATED, available_us=LATER + SECOND)
        assert leases.schedule(delayed, LATER, OPERATOR).job.available_us == LATER + SECOND

    def test_scheduling_what_is_in_the_queue_changes_nothing(self) -> None:
        subject = ALL["Scheduled"].job
        assert leases.schedule(subject, LATER, OPERATOR) == Decision(subject)

    @pytest.mark.parametrize("name", sorted(set(ALL) - {"Created", "Scheduled", "Scheduled, ran before"}))
    def test_nothing_else_is_brought_back_into_the_queue(self, name: str) -> None:
        with pytest.raises(TransitionNotAllowed):
            leases.schedule(ALL[name].job, LATER, OPERATOR)


def test_a_release_drops_a_rescale_target() -> None:
    assert released(rescaled(claimed(born()))).job.rescale_to is None


@pytest.mark.parametrize("name", sorted(n for n, life in ALL.items() if life.job.state in TERMINAL))
def test_a_job_that_ended_has_no_holder(name: str) -> None:
    assert ALL[name].job.worker_id is None
    assert ALL[name].job.lease_expires_us is None


class TestClockWatch:
    def test_clocks_that_run_together_give_no_grace(self) -> None:
        watch = ClockWatch(NOW, 100.0).observed(NOW + 60 * SECOND, 160.0, tolerated=2.0, grace=30.0)
        assert not watch.in_grace

    def test_a_tolerated_drift_gives_no_grace(self) -> None:
        assert not ClockWatch(NOW, 100.0).observed(NOW + 3 * SECOND, 101.0, tolerated=2.0, grace=30.0).in_grace

    def test_a_jump_gives_one_lease_of_grace_and_then_no_more(self) -> None:
        jumped = ClockWatch(NOW, 100.0).observed(NOW + 3600 * SECOND, 101.0, tolerated=2.0, grace=30.0)
        assert jumped.in_grace
        during = jumped.observed(NOW + 3629 * SECOND, 130.0, tolerated=2.0, grace=30.0)
        assert during.in_grace
        assert not during.observed(NOW + 3630 * SECOND, 131.0, tolerated=2.0, grace=30.0).in_grace

    def test_a_clock_set_back_gives_no_grace(self) -> None:
        assert not ClockWatch(NOW, 100.0).observed(NOW - 3600 * SECOND, 101.0, tolerated=2.0, grace=30.0).in_grace


def test_a_claim_was_undone_where_its_token_is_no_longer_given_out_or_is_given_to_another() -> None:
    waiting = born().job
    mine = claimed(born()).job
    given_again = [leases.claim(waiting, name, LATER, NOW + 1, HOLDER).job for name in ("w1", "w2")]
    ended = leases.complete(given_again[0], mine.lease_token, LATER, HOLDER).job
    assert all(leases.is_undone(subject, mine) for subject in (waiting, *given_again, ended))
    kept = [life.job for life in ALL.values() if life.job.claimed_us == mine.claimed_us]
    assert {subject.state for subject in kept} >= {State.RUNNING, State.COMPLETED, State.RECOVERING}
    assert not any(leases.is_undone(subject, mine) for subject in kept)
