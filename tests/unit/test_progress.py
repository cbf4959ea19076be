"""Blocks merge into ranges, and what lies behind a gap does not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobstate.domain.errors import InvalidRequest
from jobstate.domain.progress import MAX_COUNT, Range, TableProgress, merge


@pytest.mark.parametrize(
    ("ranges", "added", "merged"),
    [
        ((), (3, 5), ((3, 5),)),
        (((0, 4),), (5, 9), ((0, 9),)),
        (((5, 9),), (0, 4), ((0, 9),)),
        (((0, 4),), (6, 9), ((0, 4), (6, 9))),
        (((6, 9),), (0, 4), ((0, 4), (6, 9))),
        (((0, 4), (6, 9)), (5, 5), ((0, 9),)),
        (((0, 9),), (3, 4), ((0, 9),)),
        (((3, 4),), (0, 9), ((0, 9),)),
        (((0, 1), (4, 5), (8, 9)), (1, 8), ((0, 9),)),
        (((0, 1), (4, 5), (8, 9)), (3, 6), ((0, 1), (3, 6), (8, 9))),
        (((0, 1),), (0, 1), ((0, 1),)),
        (((0, 0),), (MAX_COUNT, MAX_COUNT), ((0, 0), (MAX_COUNT, MAX_COUNT))),
    ],
)
def test_ranges_stay_ascending_disjoint_and_not_adjacent(
    ranges: tuple[Range, ...], added: Range, merged: tuple[Range, ...]
) -> None:
    assert merge(ranges, *added) == merged


def test_progress_before_any_block_names_none() -> None:
    nothing = TableProgress()
    assert (nothing.start_block, nothing.current_block) == (None, None)


def test_current_block_is_the_highest_without_a_gap() -> None:
    progress = TableProgress().added(0, 4).added(6, 9)
    assert (progress.start_block, progress.current_block) == (0, 4)
    assert progress.added(5, 5).current_block == 9


def test_files_and_bytes_add_up() -> None:
    progress = TableProgress().added(0, 4, files=1, size_bytes=100).counted(2, 50)
    assert (progress.files_count, progress.total_size_bytes, progress.ranges) == (3, 150, ((0, 4),))


def test_adding_leaves_the_earlier_value_as_it_was() -> None:
    before = TableProgress().added(0, 4)
    before.added(5, 9, files=1)
    assert before == TableProgress(0, 0, ((0, 4),))


def test_absolute_numbers_replace_what_they_name_and_keep_the_rest() -> None:
    progress = TableProgress(3, 150, ((0, 4), (6, 9)))
    assert progress.replaced(None, None, None, None) == progress
    assert progress.replaced(5, None, None, None) == TableProgress(5, 150, progress.ranges)
    assert progress.replaced(None, 7, None, 20) == TableProgress(3, 7, ((0, 20),))
    assert progress.replaced(None, None, 2, None) == TableProgress(3, 150, ((2, 4),))
    assert TableProgress().replaced(None, None, 5, None).ranges == ((5, 5),)
    assert TableProgress().replaced(None, None, None, 5).ranges == ((5, 5),)


@pytest.mark.parametrize("value", [-1, MAX_COUNT + 1, True, 1.0, "1"])
def test_a_count_is_an_integer_that_a_database_can_hold(value: Any) -> None:
    changes: list[tuple[str, Callable[[], TableProgress]]] = [
        ("files", lambda: TableProgress().counted(value, 0)),
        ("size_bytes", lambda: TableProgress().counted(0, value)),
        ("first", lambda: TableProgress().added(value, MAX_COUNT)),
        ("files_count", lambda: TableProgress().replaced(value, None, None, None)),
        ("total_size_bytes", lambda: TableProgress().replaced(None, value, None, None)),
        ("start_block", lambda: TableProgress().replaced(None, None, value, None)),
    ]
    for field, change in changes:
        with pytest.raises(InvalidRequest) as found:
            change()
        assert found.value.field == field


def test_a_sum_that_no_database_can_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="files"):
        TableProgress(MAX_COUNT).counted(1, 0)


def test_a_range_does_not_end_before_it_begins() -> None:
    with pytest.raises(InvalidRequest, match="must not be below first"):
        TableProgress().added(5, 4)
    with pytest.raises(InvalidRequest, match="must not be below start_block"):
        TableProgress().added(5, 9).replaced(None, None, None, 4)
