"""Histograms of latencies: a worker fills one per subtask, a reader merges what is stored.

A stored histogram is JSON: the number of records that took no time, then each bucket that holds any, with its count.
Buckets grow by 2 %, so the middle of a bucket is within 1 % of every latency in it; this also holds for any number of
histograms together, because their buckets add up. (Masson, Rim and Lee call this a DDSketch, VLDB 2019.)
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from math import ceil, log, log1p
from typing import Final, NamedTuple

ACCURACY: Final = 0.01
_GROWTH: Final = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_2: Final = log(2)
_PER_DOUBLING: Final = 1 / log1p(2 * ACCURACY / (1 - ACCURACY)) * _LOG_2
"""Buckets from one latency to its double."""
_MIDDLE: Final = 2 / (1 + _GROWTH)
"""A bucket ends at a power of the growth; its middle, equally far from both ends, is this part of the end."""
_SMALLEST: Final = sys.float_info.min * _GROWTH
"""Anything at most this long counts as no time."""
_MOST_BUCKETS: Final = 2048
"""From the largest latency down to one 10**17 times smaller; smaller ones are counted in the lowest bucket."""
_SHOWN: Final = 3


class Histogram:
    """How many records took how long."""

    def __init__(self, stored: str | None = None) -> None:
        zeros, buckets = (0, ()) if stored is None else json.loads(stored)
        self._zeros: int = zeros
        self._counts: dict[int, int] = dict(buckets)

    def add(self, milliseconds: float) -> None:
        """Count one record that took this long; >= 0."""
        if milliseconds <= _SMALLEST:
            self._zeros += 1
            return
        bucket = ceil(log(milliseconds) / _LOG_2 * _PER_DOUBLING)  # log2 would move some limits
        if bucket in self._counts:
            self._counts[bucket] += 1
        else:
            self._open(bucket)

    def to_json(self) -> str:
        """The stored form, buckets in order."""
        return json.dumps([self._zeros, sorted(self._counts.items())], separators=(",", ":"))

    def _open(self, bucket: int) -> None:
        """Count one record in a new bucket; where there are too many then, collapse the lowest ones."""
        counts = self._counts
        counts[bucket] = 1
        lowest = max(counts) - _MOST_BUCKETS + 1
        for low in [low for low in counts if low < lowest]:
            counts[lowest] = counts.get(lowest, 0) + counts.pop(low)


class Quantiles(NamedTuple):
    """How long records took: half, 95 % and 99 % of them at most so many milliseconds; within 1 %."""

    p50: float
    p95: float
    p99: float


class MergedHistograms:
    """Several stored histograms as one."""

    def __init__(self, stored: Iterable[str]) -> None:
        counts: Counter[int] = Counter()
        self._zeros = 0
        for text in stored:
            zeros, buckets = json.loads(text)
            self._zeros += zeros
            for bucket, count in buckets:
                counts[bucket] += count
        self._buckets = sorted(counts)
        self._up_to = list(accumulate((counts[bucket] for bucket in self._buckets), initial=self._zeros))

    def quantile(self, fraction: float) -> float | None:
        """The latency in milliseconds that this fraction (0..1) of the records stays under; None without records."""
        count = self._up_to[-1]
        if not count:
            return None
        rank = fraction * (count - 1)
        if rank < self._zeros:
            return 0.0
        return float(_GROWTH ** self._buckets[bisect_right(self._up_to, rank) - 1] * _MIDDLE)


def quantiles(stored: Iterable[str]) -> Quantiles | None:
    """The quantiles of these histograms together, to the microsecond; None where they hold nothing."""
    merged = MergedHistograms(stored)
    found = [merged.quantile(fraction) for fraction in (0.5, 0.95, 0.99)]
    return Quantiles(*(round(value, _SHOWN) for value in found if value is not None)) if None not in found else None
