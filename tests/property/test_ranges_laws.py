"""Merged ranges are a set of blocks, however the blocks came."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jobstate.domain.checkpoints import progress_from_json, snapshot_to_json
from jobstate.domain.progress import MAX_COUNT, Range, TableProgress, merge
from tests.property.walking import law

blocks = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
additions = st.lists(blocks, max_size=15)
anywhere = st.lists(st.tuples(st.integers(0, MAX_COUNT), st.integers(0, MAX_COUNT)).map(lambda p: (min(p), max(p))))


def merged(added: list[Range]) -> tuple[Range, ...]:
    ranges: tuple[Range, ...] = ()
    for first, last in added:
        ranges = merge(ranges, first, last)
    return ranges


def members(ranges: tuple[Range, ...] | list[Range]) -> set[int]:
    return {block for first, last in ranges for block in range(first, last + 1)}


@law
@given(additions)
def test_merged_ranges_hold_exactly_the_blocks_that_were_added(added: list[Range]) -> None:
    assert members(merged(added)) == members(added)


@law
@given(additions | anywhere)
def test_merged_ranges_are_ascending_disjoint_and_not_adjacent(added: list[Range]) -> None:
    ranges = merged(added)
    assert all(first <= last for first, last in ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@law
@given((additions | anywhere).flatmap(lambda added: st.tuples(st.just(added), st.permutations(added))))
def test_the_order_of_additions_does_not_matter(orders: tuple[list[Range], list[Range]]) -> None:
    assert merged(orders[0]) == merged(orders[1])


@law
@given(additions | anywhere)
def test_adding_blocks_again_changes_nothing(added: list[Range]) -> None:
    ranges = merged(added)
    assert merged([*added, *added]) == ranges
    assert all(merge(ranges, *again) == ranges for again in ranges)


@law
@given(additions)
def test_the_current_block_is_the_highest_reached_from_the_start_without_a_gap(added: list[Range]) -> None:
    progress = TableProgress()
    for first, last in added:
        progress = progress.added(first, last)
    present = members(added)
    if not present:
        assert (progress.start_block, progress.current_block) == (None, None)
        return
    assert progress.start_block == min(present)
    assert progress.current_block == next(block for block in range(min(present), 100) if block + 1 not in present)


@law
@given(anywhere, st.integers(0, MAX_COUNT), st.integers(0, MAX_COUNT), st.text())
def test_progress_survives_storage(added: list[Range], files: int, size: int, table: str) -> None:
    progress = {table: TableProgress(files, size, merged(added))}
    assert progress_from_json(snapshot_to_json(progress)) == progress
