"""Histograms of latencies, as workers gather them. `jobstate.domain.latency_quantiles` reads what is stored."""

from __future__ import annotations

import json
from typing import Final

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import CollapsingLowestDenseStore

from jobstate.domain.latency_quantiles import ACCURACY

_BUCKETS: Final = 2048
"""From the largest latency down to one 10**17 times smaller; below that they are counted as that."""


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

    def to_json(self) -> str:
        """How it is stored: how many took no time, then the buckets that hold any, and how many."""
        store = self._positive
        buckets = [[key + store.offset, round(count)] for key, count in enumerate(store.bins) if count]
        zeros = round(self._sketch.count - store.count)
        return json.dumps([zeros, buckets], separators=(",", ":"))
