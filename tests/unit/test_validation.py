"""What callers pass in is stored as they meant it, or refused with the field named; nothing else happens."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest

HUGE = 10**5000
"""An integer that Python refuses to write out."""


def refused(field: str, check: Callable[[], object]) -> str:
    """The problem that the check found with `field`."""
    with pytest.raises(InvalidRequest) as found:
        check()
    assert found.value.field == field
    return found.value.problem


@pytest.mark.parametrize("value", ["x", "extract", "a b", "ünïcödé", "任务", "🚀", "x" * 255])
def test_printable_text_is_kept_as_it_is(value: str) -> None:
    assert validation.text("kind", value) == value


@pytest.mark.parametrize("value", ["", "x" * 256, "a\nb", "a\tb", "a\0b", "\ud800", "\x1b[31m", None, 1, b"x"])
def test_text_that_is_empty_long_unprintable_or_none_is_refused(value: object) -> None:
    assert refused("kind", lambda: validation.text("kind", value))


def test_text_may_be_empty_and_shorter_where_that_is_allowed() -> None:
    assert validation.text("node_id", "", empty=True) == ""
    assert "at most 3" in refused("node_id", lambda: validation.text("node_id", "four", 3))


def test_a_reason_is_free_text_or_nothing() -> None:
    assert validation.reason(None) is None
    assert validation.reason("") is None
    assert validation.reason("two\nlines") == "two\nlines"
    assert refused("reason", lambda: validation.reason(5))


def test_a_long_reason_is_shortened_and_says_so() -> None:
    stored = validation.reason("x" * 5000)
    assert stored is not None
    assert len(stored) == validation.MAX_REASON
    assert stored.endswith("…")


@pytest.mark.parametrize("value", ["a\0b", "a\ud800b", "\udcff", "x" * 50, "ok"])
def test_storable_text_can_be_stored_by_any_database(value: str) -> None:
    stored = validation.storable(value, 20)
    stored.encode("utf-8")
    assert "\0" not in stored
    assert len(stored) <= 20


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, -1, 11])
def test_an_integer_is_an_integer_within_its_limits(value: object) -> None:
    assert refused("priority", lambda: validation.integer("priority", value, 0, 10))


@pytest.mark.parametrize("value", [0, 10])
def test_the_limits_of_an_integer_are_included(value: int) -> None:
    assert validation.integer("priority", value, 0, 10) == value


@pytest.mark.parametrize(("value", "us"), [(0, 0), (1, 1_000_000), (0.5, 500_000), (timedelta(minutes=1), 60_000_000)])
def test_a_duration_is_seconds_or_a_timedelta(value: float | timedelta, us: int) -> None:
    assert validation.duration_us("lease", value) == us
    assert validation.seconds_of("lease", value) == us / 1_000_000


@pytest.mark.parametrize("value", [-1, -0.1, math.nan, math.inf, "1", True, None, timedelta(seconds=-1), 1e300])
def test_a_duration_is_finite_and_not_negative(value: object) -> None:
    assert refused("lease", lambda: validation.duration_us("lease", value))


def test_a_duration_that_must_be_positive_lasts_at_least_a_microsecond() -> None:
    assert validation.duration_us("lease", 0.000001, positive=True) == 1
    assert refused("lease", lambda: validation.duration_us("lease", 0.0000001, positive=True))


def test_the_longest_duration_can_be_added_to_an_instant_without_overflow() -> None:
    longest = validation.duration_us("lease", timedelta.max)
    now = validation.instant_us("at", datetime.max.replace(tzinfo=UTC))
    assert now + longest <= validation.MAX_ID


def test_an_instant_is_an_aware_datetime() -> None:
    east = datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert validation.instant_us("available_at", east) == 0
    assert validation.instant_us("available_at", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)) == -1


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), date(2026, 1, 1), 0, "2026-01-01T00:00:00Z", None])  # noqa: DTZ001
def test_an_instant_without_time_zone_is_refused(value: object) -> None:
    assert refused("available_at", lambda: validation.instant_us("available_at", value))


def test_instants_beyond_the_calendar_are_shown_as_the_last_one() -> None:
    assert validation.instant(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert validation.instant(validation.MAX_ID) == datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": math.nan}, "d.a"),
        ({"a": [0, math.inf]}, "d.a[1]"),
        ({"a": {1, 2}}, "d.a"),
        ({1: "a"}, "d"),
        ({"a": {None: 1}}, "d.a"),
        ({"a": "x\0"}, "d.a"),
        ({"x\0": 1}, "d"),
        ({"a": ["ok", "\ud800"]}, "d.a[1]"),
        ({"\ud800": 1}, "d"),
        ({"a": b"x"}, "d.a"),
        ({"a": "ü\0"}, "d.a"),
        (object(), "d"),
    ],
)
def test_what_json_cannot_say_is_refused_with_the_place_named(value: object, place: str) -> None:
    assert refused(place, lambda: validation.json_text("d", value, 1000))


def nested(levels: int, core: object) -> object:
    """`core` inside so many lists."""
    for _ in range(levels):
        core = [core]
    return core


def test_json_may_be_nested_a_hundred_levels_and_no_deeper() -> None:
    deepest = nested(validation.MAX_DEPTH, 1)
    assert json.loads(validation.json_text("d", deepest, 1000)) == deepest
    assert "100 levels" in refused("d", lambda: validation.json_text("d", nested(validation.MAX_DEPTH + 1, 1), 1000))


def test_an_empty_list_counts_as_a_level_like_any_other() -> None:
    assert refused("d", lambda: validation.json_text("d", nested(validation.MAX_DEPTH, []), 1000))


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert refused("d", lambda: validation.json_text("d", endless, 1000))


def test_the_limit_of_json_counts_bytes() -> None:
    assert validation.json_text("d", "x" * 8, 10) == '"xxxxxxxx"'
    assert "10 bytes" in refused("d", lambda: validation.json_text("d", "x" * 9, 10))
    assert "10 bytes" in refused("d", lambda: validation.json_text("d", "ü" * 5, 10))


def test_a_json_object_is_a_mapping() -> None:
    assert validation.json_object("d", None, 10) == "{}"
    assert validation.json_object("d", {}, 10) == "{}"
    assert validation.json_object("d", OrderedDict(b=1, a=2), 100) == '{"b":1,"a":2}'
    for value in ([], [1], "{}", 1):
        assert refused("d", lambda value=value: validation.json_object("d", value, 100))  # type: ignore[misc]


def test_labels_are_texts_by_name() -> None:
    assert validation.labels_text(None) == "{}"
    assert validation.labels_text({}) == "{}"
    assert validation.labels_text({"team": "data", "note": ""}) == '{"team":"data","note":""}'
    assert refused("labels", lambda: validation.labels_text(["team"]))
    assert refused("labels", lambda: validation.labels_text({"": "x"}))
    assert refused("labels.team", lambda: validation.labels_text({"team": 1}))
    assert refused("labels", lambda: validation.labels_text({f"l{n}": "x" for n in range(validation.MAX_LABELS + 1)}))


def test_canonical_json_ignores_key_order_white_space_and_the_spelling_of_whole_numbers() -> None:
    left = json.loads('{"b": [1.0, 2], "a": {"y": null, "x": true}}')
    right = json.loads('{"a":{"x":true,"y":null},"b":[1,2.0]}')
    assert validation.canonical(left) == validation.canonical(right) == '{"a":{"x":true,"y":null},"b":[1,2]}'


def test_a_whole_number_is_canonical_as_far_as_a_float_is_exact() -> None:
    largest = 2**53 - 1
    assert validation.canonical(float(largest)) == validation.canonical(largest) == str(largest)
    assert validation.canonical(-float(largest)) == validation.canonical(-largest) == str(-largest)


def test_canonical_json_keeps_apart_what_differs() -> None:
    values: list[Any] = [1, True, "1", None, [1], {"1": 1}, 1.5, 0, False, "", [], {}, 2**53 + 1, 2**53]
    assert len({validation.canonical(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    "check",
    [
        lambda: validation.seconds_of("n", HUGE),
        lambda: validation.duration_us("n", 10**400),
        lambda: validation.integer("n", HUGE, 0, 10),
        lambda: validation.json_text("n", HUGE, 10_000),
        lambda: validation.json_text("n", [{"a": HUGE}], 10_000),
    ],
    ids=["seconds", "duration", "integer", "JSON", "JSON within"],
)
def test_an_integer_too_large_to_write_is_refused_like_any_other_wrong_value(check: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequest):
        check()
