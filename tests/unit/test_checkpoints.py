"""A checkpoint keeps what its worker stored and how far the job was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobstate.domain.checkpoints import (
    Checkpoint,
    CheckpointDetails,
    CheckpointState,
    OperatorState,
    operators_to_json,
    point,
    progress_from_json,
    snapshot_to_json,
)
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.progress import MAX_COUNT, TableProgress

PROGRESS = {
    "blocks": TableProgress(2, 8192, ((0, 4), (6, 9))),
    "lögs": TableProgress(),
    "big": TableProgress(MAX_COUNT, MAX_COUNT, ((MAX_COUNT, MAX_COUNT),)),
}


OPERATORS = (
    OperatorState("source_1", 524288, "KafkaSource", {0: 131072, 3: 393216}),
    OperatorState("sink_1", 0),
)


def checkpoint(finish_us: int | None = 2_000_000, state_json: str | None = "41") -> Checkpoint:
    return Checkpoint(
        number=12,
        job_id=7,
        epoch=3,
        status=CheckpointState.COMPLETED,
        token=5,
        start_us=1_000_000,
        finish_us=finish_us,
        size_bytes=2,
        backend=None,
        location=None,
        failure=None,
        operators_json=operators_to_json(OPERATORS),
        state_json=state_json,
        snapshot_json=snapshot_to_json(PROGRESS),
    )


def test_a_checkpoint_has_a_name() -> None:
    assert checkpoint().id == "chk_12"


def test_the_states_of_operators_survive_storage() -> None:
    assert checkpoint().operator_states == OPERATORS
    assert operators_to_json([]) is None


@pytest.mark.parametrize(
    ("field", "operator"),
    [
        ("operators[1]", "source_1"),
        ("operators[1].operator_id", OperatorState("", 0)),
        ("operators[1].state_size", OperatorState("a", -1)),
        ("operators[1].operator_name", OperatorState("a", 0, "")),
        ("operators[1].subtasks", OperatorState("a", 0, None, {-1: 0})),
        ("operators[1].subtasks[2]", OperatorState("a", 0, None, {2: 1.5})),  # type: ignore[dict-item]
    ],
)
def test_what_is_no_state_of_an_operator_is_refused_by_name(field: str, operator: OperatorState) -> None:
    with pytest.raises(InvalidRequest) as refused:
        operators_to_json([OPERATORS[0], operator])
    assert refused.value.field == field


def test_the_size_of_a_checkpoint_is_that_of_its_parts_unless_it_is_given() -> None:
    assert point(100, state="ü").size_bytes == 4
    assert point(100, operators=OPERATORS, state=1).size_bytes == 524289
    assert point(100, size_bytes=7, operators=OPERATORS).size_bytes == 7
    assert point(100) == CheckpointDetails()


def test_a_snapshot_of_progress_survives_storage() -> None:
    assert progress_from_json(snapshot_to_json(PROGRESS)) == PROGRESS
    assert checkpoint().progress == PROGRESS


def test_no_progress_survives_storage_too() -> None:
    assert progress_from_json(snapshot_to_json({})) == {}


@pytest.mark.parametrize(
    ("stored", "state"), [(None, None), ("null", None), ("41", 41), ('{"next":[1]}', {"next": [1]})]
)
def test_the_state_is_what_the_worker_stored(stored: str | None, state: object) -> None:
    assert checkpoint(state_json=stored).state == state


def test_nobody_can_change_the_state_of_a_checkpoint_by_reading_it() -> None:
    kept = checkpoint(state_json="[1]")
    state = kept.state
    assert isinstance(state, list)
    state.append(2)
    kept.progress.clear()
    assert kept.state == [1]
    assert kept.progress == PROGRESS


def test_times_are_aware_and_an_unfinished_checkpoint_has_no_end() -> None:
    assert checkpoint().start_time == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert checkpoint().finish_time == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert checkpoint(finish_us=None).finish_time is None
