"""Invalid arguments: each is named, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobstate import InvalidRequest, JobStateError, JobStore, RetryPolicy
from jobstate.domain.job import row_of
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import everything, running

NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001
DEEP: dict[str, Any] = {}
_inner = DEEP
for _ in range(101):
    _inner["a"] = {}
    _inner = _inner["a"]

NOT_TEXT: list[object] = ["", "x" * 256, "two\nlines", "nul\0", "bell\a", "lone \ud800", 5, True, b"bytes", ["list"]]
NOT_NAME = [value for value in NOT_TEXT if value != ""]
NOT_DURATION: list[object] = [-1, -0.001, float("nan"), float("inf"), "5", True, timedelta(seconds=-1), [1]]
NOT_LIMIT: list[object] = [0, -1, 1.5, "5", True, None]

BAD_SUBMISSIONS: list[tuple[str, list[object], str]] = [
    ("kind", [None, *NOT_TEXT], "kind"),
    ("key", NOT_TEXT, "key"),
    ("pipeline_id", NOT_TEXT, "pipeline_id"),
    ("node_id", NOT_NAME, "node_id"),
    ("priority", ["high", 1.5, None, True, 2**31 + 1, -(2**31) - 1], "priority"),
    ("parallelism", [0, -1, 1.5, "2", None, True, 10**6 + 1], "parallelism"),
    ("max_attempts", [0, -1, 1.5, "2", None, True, 10**6 + 1], "max_attempts"),
    ("available_at", [NAIVE, "2024-01-01T00:00:00Z", 5, timedelta(1)], "available_at"),
    ("retry", [None, 3, {"initial": 1}, RetryPolicy], "retry"),
    ("descriptor", [[], "text", 5, 0, b"{}", [("a", 1)], True], "descriptor"),
    ("descriptor", [{"a": float("nan")}, {"a": float("-inf")}, {"a": {1}}, {"a": object()}], "descriptor.a"),
    ("descriptor", [{"a": "nul\0"}, {"a": "lone \udfff"}, {"a": b"bytes"}, {"a": NAIVE}], "descriptor.a"),
    ("descriptor", [{5: 1}, {None: 1}, {"nul\0": 1}, {"lone \ud800": 1}, DEEP], "descriptor"),
    ("labels", [["team"], "team", 5, {"": "x"}, {5: "x"}, {f"l{n}": "" for n in range(65)}], "labels"),
    ("labels", [{"a": 5}, {"a": None}, {"a": "x" * 256}, {"a": "two\nlines"}], "labels.a"),
    ("actor", NOT_TEXT, "actor"),
    ("reason", [5, True, b"bytes", ["list"]], "reason"),
]


def refused(call: Callable[[], object], field: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        call()
    assert error.value.field == field, str(error.value)
    assert error.value.problem
    assert field in str(error.value)
    return error.value


@pytest.mark.parametrize(("argument", "values", "field"), BAD_SUBMISSIONS)
def test_a_bad_argument_of_a_submission_is_named(
    untouched: JobStore, argument: str, values: list[object], field: str
) -> None:
    for value in values:
        good: dict[str, Any] = {"kind": "extract"}
        refused(lambda given={**good, argument: value}: untouched.submit(**given), field)  # type: ignore[misc]


def test_a_bad_place_deep_inside_a_descriptor_is_named(untouched: JobStore) -> None:
    refused(lambda: untouched.submit("a", {"b": [{"c": 1}, {"d": float("nan")}]}), "descriptor.b[1].d")


def test_an_invalid_request_is_a_value_error_that_no_repetition_helps(untouched: JobStore) -> None:
    error = refused(lambda: untouched.submit(""), "kind")
    assert isinstance(error, ValueError | JobStateError)
    assert isinstance(error, ValueError)
    assert not error.retryable


@pytest.mark.parametrize("bad", ["1", None, 1.0, True, 0, -1, 2**63, [1], b"1"])
def test_what_is_no_job_is_refused_wherever_a_job_is_asked_for(untouched: JobStore, bad: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: untouched.get(bad),
        lambda: untouched.stop(bad),
        lambda: untouched.delete(bad),
        lambda: untouched.schedule(bad),
        lambda: untouched.fail(bad, "why"),
        lambda: untouched.events(bad),
        lambda: untouched.progress(bad),
        lambda: untouched.checkpoints(bad),
        lambda: untouched.wait(bad, timeout=0),
    ]
    for call in calls:
        refused(call, "job")


def test_a_bad_argument_of_a_stop_is_named(untouched: JobStore) -> None:
    (job, *_) = untouched.list().jobs
    for mode in ("soft", "", "Checkpoint", None, 5):
        refused(lambda mode=mode: untouched.stop(job, mode=mode), "mode")  # type: ignore[misc]
    for timeout in NOT_DURATION:
        refused(lambda timeout=timeout: untouched.stop(job, timeout=timeout), "timeout")  # type: ignore[misc]
    for actor in NOT_TEXT:
        refused(lambda actor=actor: untouched.stop(job, actor=actor), "actor")  # type: ignore[misc]
    refused(lambda: untouched.stop(job, reason=5), "reason")  # type: ignore[arg-type]


def test_a_bad_argument_of_a_claim_is_named(untouched: JobStore) -> None:
    for node in NOT_TEXT:
        refused(lambda node=node: untouched.claim(node), "node_id")  # type: ignore[misc]
    for lease in (*NOT_DURATION, 0, 0.0000001):
        refused(lambda lease=lease: untouched.claim("w", lease=lease), "lease")  # type: ignore[misc]
    for limit in (*NOT_LIMIT, 1001):
        refused(lambda limit=limit: untouched.claim("w", limit=limit), "limit")  # type: ignore[misc]
    for kinds in ("extract", [], [""], [5], ["a", None]):
        refused(lambda kinds=kinds: untouched.claim("w", kinds=kinds), "kinds")  # type: ignore[misc]


def test_a_bad_argument_of_a_worker_is_named(untouched: JobStore) -> None:
    for node in NOT_TEXT:
        refused(lambda node=node: untouched.worker(node), "node_id")  # type: ignore[misc]
    for lease in (*NOT_DURATION, 0):
        refused(lambda lease=lease: untouched.worker("w", lease=lease), "lease")  # type: ignore[misc]
    for kinds in ("extract", [], [5]):
        refused(lambda kinds=kinds: untouched.worker("w", kinds=kinds), "kinds")  # type: ignore[misc]
    for patience in NOT_DURATION:
        refused(
            lambda patience=patience: untouched.worker("w", shutdown_timeout=patience),  # type: ignore[misc]
            "shutdown_timeout",
        )


def test_a_bad_argument_of_a_list_is_named(untouched: JobStore) -> None:
    for limit in (*NOT_LIMIT, 1001):
        refused(lambda limit=limit: untouched.list(limit=limit), "limit")  # type: ignore[misc]
    for after in (0, -1, "5", 1.5, True):
        refused(lambda after=after: untouched.list(after=after), "after")  # type: ignore[misc]
    words: list[Any] = ["nothing", 5, None, [5], [None], [[]]]
    for status in words:
        refused(lambda status=status: untouched.list(status), "status")  # type: ignore[misc]


def test_a_bad_argument_of_the_other_calls_is_named(untouched: JobStore) -> None:
    (job, *_) = untouched.list().jobs
    for limit in NOT_LIMIT:
        refused(lambda limit=limit: untouched.sweep(limit=limit), "limit")  # type: ignore[misc]
        refused(lambda limit=limit: untouched.checkpoints(job, limit=limit), "limit")  # type: ignore[misc]
    for age in NOT_DURATION:
        refused(lambda age=age: untouched.prune(older_than=age), "older_than")  # type: ignore[misc]
        refused(lambda age=age: untouched.wait(job, timeout=age), "timeout")  # type: ignore[misc]
    for reason in (None, "", 5):
        refused(lambda reason=reason: untouched.fail(job, reason), "reason")  # type: ignore[misc]
    refused(lambda: untouched.acting(""), "actor")
    refused(lambda: untouched.acting("a", 5), "reason")  # type: ignore[arg-type]


def test_a_bad_argument_of_a_run_is_named(store: JobStore) -> None:
    run = running(store)
    before = everything(store)
    for delay in NOT_DURATION:
        refused(lambda delay=delay: run.release(delay), "delay")  # type: ignore[misc]
    for failure in (None, 3, b"bytes"):
        refused(lambda failure=failure: run.fail(failure), "failure")  # type: ignore[misc]
    assert everything(store) == before


def test_free_text_is_kept_as_far_as_a_database_can(store: JobStore) -> None:
    """A reason or a failure comes from anywhere and must never stop the call it belongs to."""
    run = running(store)
    store.stop(run, reason="nul\0 lone \ud800 " + "x" * 5000)
    reason = row_of(store.get(run)).stop_reason
    assert reason is not None
    assert len(reason) == 4096
    assert "\0" not in reason
    run.fail("nul\0 lone \ud800 " + "x" * 100_000)
    failure = store.get(run).failure
    assert failure is not None
    assert len(failure.message) == 65_536
    assert store.audit().ok


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("timeout", NOT_DURATION),
        ("stop_timeout", NOT_DURATION),
        ("actor", NOT_TEXT),
        ("descriptor_limit", [0, 1, "5", 1.5, True]),
        ("keep_checkpoints", [0, -1, "5", 1.5, True]),
    ],
)
def test_a_bad_option_of_a_store_is_named(open_store: OpenStore, option: str, values: list[object]) -> None:
    for value in values:
        refused(lambda value=value: open_store(**{option: value}), option)  # type: ignore[misc]


def test_an_instant_may_come_in_any_zone(store: JobStore) -> None:
    noon = datetime(2024, 6, 1, 12, tzinfo=UTC)
    assert store.submit("a", available_at=noon.astimezone()).available_at == noon
