"""Every value of every argument is accepted or refused by the argument's name; nothing fails deep inside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import pytest

from jobstate import InvalidRequest, JobStateError, JobStore, OperatorState, RetryPolicy, Run, StoreError
from jobstate.testing.contract.situations import running

ODD: Final[tuple[object, ...]] = (
    *(None, -1, 7, 1.5, float("nan"), True, "", "text", b"bytes", object()),
    *([], [None], [7], (), {}, {"a": 7}, {7: "a"}, {7}),
)
REQUIRED: Final[dict[str, object]] = {
    "actor": "test",
    "checkpoint_id": 1,
    "event_id": 1,
    "failure": "disk gone",
    "first": 0,
    "jobs": [],
    "kind": "extract",
    "last": 0,
    "level": "info",
    "message": "slow",
    "node_id": "worker-01",
    "operator_id": "in",
    "parallelism": 2,
    "reason": "wrong cluster",
    "record": 1,
    "runs": [],
    "table": "blocks",
}
NOT_FOR_CALLERS: Final = {
    *("close", "backup", "conclude", "leave_what_observers_want"),
    *("notice", "notice_shutdown", "on_noticed", "on_settled"),
}

SEVEN: Final[Any] = 7
MIXED: Final[Any] = {"a": 1, 0: 1}


def methods(kind: type) -> list[str]:
    return [
        name
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name not in NOT_FOR_CALLERS and len(inspect.signature(method).parameters) > 1
    ]


def odd_calls(method: Callable[..., object], given: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The arguments of calls with one odd value each."""
    parameters = inspect.signature(method).parameters
    good = {
        name: {**REQUIRED, **given}[name]
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty or name in given
    }
    for name in parameters:
        for value in ODD:
            yield {**good, name: value}


def taken_or_refused(call: Callable[..., object], arguments: dict[str, object]) -> None:
    try:
        found = call(**arguments)
        if isinstance(found, Iterator):
            list(islice(found, 1))
    except StoreError as error:
        pytest.fail(f"{arguments} came to the store: {error!r}")
    except JobStateError:
        pass  # refused
    except Exception as error:
        pytest.fail(f"{arguments} raised {error!r}")


@pytest.mark.parametrize("name", methods(JobStore))
def test_a_store_takes_or_refuses_any_argument(store: JobStore, name: str) -> None:
    run = running(store)
    run.log.info("slow")
    run.metrics("in", records_in=1)
    run.complete()
    method = getattr(store, name)
    parameters = inspect.signature(method).parameters
    given: dict[str, object] = {"job": run.id, "timeout": 0, "until": "all"}
    for arguments in odd_calls(method, {field: value for field, value in given.items() if field in parameters}):
        taken_or_refused(method, arguments)
    assert store.audit().ok


@pytest.mark.parametrize("name", methods(Run))
def test_a_run_takes_or_refuses_any_argument(store: JobStore, name: str) -> None:
    held = running(store)
    given = (
        {"checkpoint": held.begin_checkpoint()} if name.endswith("_checkpoint") and name != "begin_checkpoint" else {}
    )
    for arguments in odd_calls(getattr(held, name), given):
        run = running(store)
        taken_or_refused(getattr(run, name), arguments)
        if not run.settled:
            run.flush()
    assert store.audit().ok


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("latency_ms", lambda store, run: run.metrics("in", latency_ms=None)),
        ("operator_id", lambda store, run: run.metrics([])),
        ("subtask", lambda store, run: run.metrics("in", subtask=[])),
        ("first", lambda store, run: run.add_range("t", None, 1)),
        ("last", lambda store, run: run.add_range("t", 1, None)),
        ("table", lambda store, run: run.add_range(None, 0, 1)),
        ("table", lambda store, run: run.add_files([])),
        ("table", lambda store, run: run.set_progress({}, files_count=1)),
        ("operators", lambda store, run: run.checkpoint(operators=None)),
        ("operators[0]", lambda store, run: run.checkpoint(operators=[7])),
        ("operators[0].subtasks", lambda store, run: run.checkpoint(operators=[OperatorState("in", 1, None, SEVEN)])),
        (
            "operators[0].subtasks",
            lambda store, run: run.checkpoint(operators=[OperatorState("in", 1, None, MIXED)]),
        ),
        ("checkpoint", lambda store, run: run.complete_checkpoint(7)),
        ("checkpoint", lambda store, run: run.fail_checkpoint("chk_1", "no space")),
        ("domain", lambda store, run: run.fail("disk gone", domain=7)),
        ("level", lambda store, run: run.note("loud", "slow")),
        ("level", lambda store, run: store.logs(run, level=7)),
        ("level", lambda store, run: store.errors(run, level=7)),
        ("level", lambda store, run: store.follow_logs(run, level=7)),
        ("completed", lambda store, run: store.checkpoint_slice(run, completed=7)),
        ("kinds", lambda store, run: store.claim("worker-01", kinds=7)),
        ("kinds", lambda store, run: store.claim("worker-01", kinds=[[]])),
        ("runs", lambda store, run: store.complete_many(None)),
        ("runs[1]", lambda store, run: store.complete_many([run, 7])),
        ("jobs", lambda store, run: store.submit_many(7)),
        ("progress", lambda store, run: store.prune(progress=7)),
        ("progress", lambda store, run: store.audit(progress=7)),
        ("target", lambda store, run: store.backup(None)),
        ("retry.fatal", lambda store, run: RetryPolicy(fatal=SEVEN)),
        ("handlers", lambda store, run: store.worker("worker-01").serve(7)),
    ],
)
def test_what_is_of_the_wrong_type_is_named(store: JobStore, field: str, call: Callable[[Any, Any], object]) -> None:
    run = running(store)
    with pytest.raises(InvalidRequest) as refused:
        call(store, run)
    assert refused.value.field == field
    assert store.get(run.id).state == "Running"
