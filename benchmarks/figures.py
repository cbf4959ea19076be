"""Medians of rounds in turn, so that a machine that changes its speed changes both sides."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def spread(values: list[float]) -> str:
    """The median, and between what it lay."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
