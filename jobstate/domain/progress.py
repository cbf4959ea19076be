"""How far a job got, per table: files, bytes, and the blocks that are there without a gap."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from jobstate.domain.errors import InvalidRequest

Range = tuple[int, int]
MAX_COUNT = 2**63 - 1


def merge(ranges: Sequence[Range], first: int, last: int) -> tuple[Range, ...]:
    """`ranges` with the blocks `first`..`last` (inclusive) added.

    Both in and out, ranges are ascending, disjoint and not adjacent: 0..4 and 5..9 are 0..9.
    """
    begin = bisect_left(ranges, first - 1, key=lambda blocks: blocks[1])
    end = begin
    while end < len(ranges) and ranges[end][0] <= last + 1:
        first = min(first, ranges[end][0])
        last = max(last, ranges[end][1])
        end += 1
    return (*ranges[:begin], (first, last), *ranges[end:])


@dataclass(frozen=True, slots=True)
class TableProgress:
    """The progress of one table that a job writes.

    `ranges` are the blocks written so far, ascending and merged. What lies behind the first gap is stored but does
    not count: `current_block` is the highest block of the contiguous range that begins at `start_block`.
    """

    files_count: int = 0
    total_size_bytes: int = 0
    ranges: tuple[Range, ...] = ()

    @property
    def start_block(self) -> int | None:
        """The lowest block written; None before any."""
        return self.ranges[0][0] if self.ranges else None

    @property
    def current_block(self) -> int | None:
        """The highest block that is reached from `start_block` without a gap; None before any."""
        return self.ranges[0][1] if self.ranges else None

    def added(self, first: int, last: int, files: int = 0, size_bytes: int = 0) -> TableProgress:
        """This progress with the blocks `first`..`last` (inclusive) and what holds them added."""
        _check_blocks("first", _count("first", first), "last", _count("last", last))
        return TableProgress(*self._grown(files, size_bytes), merge(self.ranges, first, last))

    def counted(self, files: int, size_bytes: int) -> TableProgress:
        """This progress with files added that hold no block."""
        return TableProgress(*self._grown(files, size_bytes), self.ranges)

    def replaced(
        self,
        files_count: int | None,
        total_size_bytes: int | None,
        start_block: int | None,
        current_block: int | None,
    ) -> TableProgress:
        """This progress with the given absolute numbers; None leaves a number as it is."""
        files = self.files_count if files_count is None else _count("files_count", files_count)
        size = self.total_size_bytes if total_size_bytes is None else _count("total_size_bytes", total_size_bytes)
        if start_block is None and current_block is None:
            return TableProgress(files, size, self.ranges)
        start = self.start_block if start_block is None else start_block
        current = self.current_block if current_block is None else current_block
        if start is None:
            start = current
        if current is None:
            current = start
        _check_blocks("start_block", start, "current_block", current)
        assert start is not None and current is not None
        return TableProgress(files, size, ((start, current),))

    def _grown(self, files: int, size_bytes: int) -> tuple[int, int]:
        return (
            _count("files", self.files_count + _count("files", files)),
            _count("size_bytes", self.total_size_bytes + _count("size_bytes", size_bytes)),
        )


def _count(field: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise InvalidRequest(field, f"must be an integer in 0..2**63-1, not {value!r}")
    return value


def _check_blocks(low_field: str, low: int | None, high_field: str, high: int | None) -> None:
    for field, value in ((low_field, low), (high_field, high)):
        if value is not None:
            _count(field, value)
    if low is not None and high is not None and low > high:
        raise InvalidRequest(high_field, f"must not be below {low_field} ({high} < {low})")
