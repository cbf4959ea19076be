"""Latencies as they are stored, in histograms: half of all records took so long, 99 % of them so long.

A stored histogram is JSON: how many records took no time, then the buckets that hold any, and how many they hold. The
buckets grow by 2 %, so that what one holds is told within 1 %; over any number of histograms, as buckets add up.
`jobstate.core.latency` makes them.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from typing import Final, NamedTuple

ACCURACY: Final = 0.01
_GROWTH: Final = (1 + ACCURACY) / (1 - ACCURACY)
_TOLD: Final = 2 / (1 + _GROWTH)
"""A bucket ends at a power of the growth; what is as far from its end as from its beginning is that part of the end."""
_SHOWN: Final = 3


class Quantiles(NamedTuple):
    """How long records took: half, 95 % and 99 % of them at most so many milliseconds; within 1 %."""

    p50: float
    p95: float
    p99: float


class Latencies:
    """What several stored histograms hold together."""

    def __init__(self, stored: Iterable[str]) -> None:
        found: Counter[int] = Counter()
        zeros = 0
        for text in stored:
            at_once, buckets = json.loads(text)
            zeros += at_once
            for bucket, count in buckets:
                found[bucket] += count
        self._buckets = sorted(found)
        self._zeros = zeros
        self._up_to = list(accumulate((found[bucket] for bucket in self._buckets), initial=zeros))

    def quantile(self, part: float) -> float | None:
        """The latency (milliseconds) that this part of the records stays under; None before any was seen."""
        count = self._up_to[-1]
        if not count:
            return None
        rank = part * (count - 1)
        if rank < self._zeros:
            return 0.0
        return float(_GROWTH ** self._buckets[bisect_right(self._up_to, rank) - 1] * _TOLD)


def quantiles(stored: Iterable[str]) -> Quantiles | None:
    """The quantiles of these histograms together, to the microsecond; None where they hold nothing."""
    together = Latencies(stored)
    found = [together.quantile(part) for part in (0.5, 0.95, 0.99)]
    return Quantiles(*(round(value, _SHOWN) for value in found if value is not None)) if None not in found else None
