"""What is accepted as JSON comes back as it went in, and equal values have one canonical text."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.failure import MAX_FAILURE_TEXT, Failure, FailureKind
from jobstate.domain.submission import NewJob, same_submission
from jobstate.domain.validation import Json
from tests.property.walking import law
from tests.unit.building import job

EXACT = 2**53
"""Beyond it a float no longer stands for one whole number."""
LIMIT = 1024 * 1024

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)
wild = st.text(st.characters(), max_size=10)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=15
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | wild | st.binary(max_size=3) | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(wild | st.integers(), inner, max_size=3),
    max_leaves=10,
)

zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


def respelt(data: st.DataObject, value: Json) -> Json:
    """An equal value, with its keys in another order and its whole numbers spelt differently."""
    if isinstance(value, dict):
        keys = data.draw(st.permutations(list(value)))
        return {key: respelt(data, value[key]) for key in keys}
    if isinstance(value, list):
        return [respelt(data, entry) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < EXACT and data.draw(st.booleans()):
        return float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT and data.draw(st.booleans()):
        return int(value)
    return value


def same_json(left: Json, right: Json) -> bool:
    """Equal as JSON: like Python's `==`, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    return left == right


@law
@given(values)
def test_what_is_accepted_comes_back_equal(value: Json) -> None:
    stored = validation.json_text("d", value, LIMIT)
    stored.encode("utf-8")
    assert same_json(json.loads(stored), value)
    assert "\\u0000" not in stored


@law
@given(anything, st.integers(0, 200))
def test_anything_is_accepted_or_refused_by_name(value: object, limit: int) -> None:
    try:
        stored = validation.json_text("d", value, limit)
    except InvalidRequest as refusal:
        assert refusal.field.startswith("d")
    else:
        assert len(stored.encode("utf-8")) <= limit
        assert same_json(json.loads(stored), value)  # type: ignore[arg-type]


@law
@given(values, st.data())
def test_equal_values_have_one_canonical_text(value: Json, data: st.DataObject) -> None:
    assert validation.canonical(value) == validation.canonical(respelt(data, value))


@law
@given(values, values)
def test_values_that_differ_have_different_canonical_texts(left: Json, right: Json) -> None:
    if not same_json(left, right):
        assert validation.canonical(left) != validation.canonical(right)


@law
@given(values)
def test_a_canonical_text_is_that_value_and_its_own_canonical_text(value: Json) -> None:
    text = validation.canonical(value)
    assert same_json(json.loads(text), value)
    assert validation.canonical(json.loads(text)) == text


@law
@given(st.dictionaries(texts, values, max_size=4), st.data())
def test_a_submission_is_recognised_however_its_descriptor_is_spelt(
    descriptor: dict[str, Json], data: st.DataObject
) -> None:
    live = job(descriptor_json=validation.json_object("descriptor", descriptor, LIMIT))
    again = validation.json_object("descriptor", respelt(data, descriptor), LIMIT)
    assert same_submission(live, NewJob("extract", again)) is None


@law
@given(st.text(st.characters()), st.integers(1, 50))
def test_storable_text_can_be_stored(value: str, longest: int) -> None:
    stored = validation.storable(value, longest)
    stored.encode("utf-8")
    assert "\0" not in stored
    assert len(stored) == min(len(value), longest)
    assert validation.storable(stored, longest) == stored


@law
@given(wild, st.sampled_from(FailureKind), st.none() | texts, st.none() | wild)
def test_any_failure_can_be_stored_and_read_again(
    message: str, kind: FailureKind, domain: str | None, traceback: str | None
) -> None:
    stored = Failure(message, kind, domain, traceback).to_json()
    stored.encode("utf-8")
    again = Failure.from_json(stored)
    assert (again.message, again.kind, again.domain) == (validation.storable(message, MAX_FAILURE_TEXT), kind, domain)
    assert (again.traceback is None) == (traceback is None)
    assert Failure.from_json(again.to_json()) == again


@law
@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones))  # noqa: DTZ001
def test_an_instant_survives_storage_whatever_its_time_zone(instant: datetime) -> None:
    assert validation.instant(validation.instant_us("at", instant)) == instant.astimezone(UTC)


@law
@given(st.floats() | st.integers(-(10**30), 10**30))
def test_a_duration_is_stored_in_microseconds_or_refused(seconds: float) -> None:
    try:
        stored = validation.duration_us("lease", seconds)
    except InvalidRequest:
        assert not (math.isfinite(seconds) and 0 <= seconds <= 10**9)
    else:
        assert 0 <= stored <= validation.MAX_ID // 4
        assert math.isclose(stored, seconds * 1_000_000, abs_tol=0.6) or stored == validation.MAX_ID // 4
