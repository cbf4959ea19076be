"""Histograms of latencies, which can be put together: half of all records took so long, 99 % of them so long.

DDSketch, with buckets that grow by 2 %: a quantile is within 1 % of the exact one, over any number of histograms.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import CollapsingLowestDenseStore

from jobstate.domain.metrics import Quantiles

ACCURACY: Final = 0.01
_BUCKETS: Final = 2048
"""From the largest latency down to one 10**17 times smaller; below that they are counted as that."""
_SHOWN: Final = 3


class Histogram:
    """How often which latency was seen."""

    def __init__(self, stored: str | None = None) -> None:
        zeros, buckets = (0, []) if stored is None else json.loads(stored)
        positive, negative = CollapsingLowestDenseStore(_BUCKETS), CollapsingLowestDenseStore(1)
        for key, count in buckets:
            positive.add(key, count)
        self._sketch = BaseDDSketch(LogarithmicMapping(ACCURACY), positive, negative, zeros)
        self._positive = positive

    def add(self, milliseconds: float) -> None:
        """One record took so long; >= 0."""
        self._sketch.add(milliseconds)

    def merge(self, other: Histogram) -> None:
        """Add all that the other has seen."""
        self._sketch.merge(other._sketch)

    def quantile(self, part: float) -> float | None:
        """The latency (milliseconds) that this part of the records stays under; None before any was seen."""
        found = self._sketch.get_quantile_value(part)
        return None if found is None else float(found)

    def to_json(self) -> str:
        """How it is stored: how many took no time, then the buckets that hold any, and how many."""
        store = self._positive
        buckets = [[key + store.offset, round(count)] for key, count in enumerate(store.bins) if count]
        zeros = round(self._sketch.count - store.count)
        return json.dumps([zeros, buckets], separators=(",", ":"))


def quantiles(stored: Iterable[str]) -> Quantiles | None:
    """The quantiles of these histograms together, to the microsecond; None where they hold nothing."""
    together = Histogram()
    for text in stored:
        together.merge(Histogram(text))
    found = [together.quantile(part) for part in (0.5, 0.95, 0.99)]
    return Quantiles(*(round(value, _SHOWN) for value in found if value is not None)) if None not in found else None
