"""The manual clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobstate import InvalidRequest
from jobstate.testing import ManualClock


@pytest.mark.parametrize("duration", ["90s", "1.5m", 90, 90.0, timedelta(seconds=90)])
def test_time_passes_by_seconds_a_timedelta_or_what_people_write(duration: float | timedelta | str) -> None:
    clock = ManualClock()
    before = clock.now()
    clock.advance(duration)
    assert clock.now() - before == 90_000_000
    assert clock.monotonic() == 90.0


@pytest.mark.parametrize("duration", [-1, "-1s", timedelta(seconds=-1), "soon", float("nan")])
def test_it_never_goes_back(duration: float | timedelta | str) -> None:
    clock = ManualClock()
    before = clock.now()
    with pytest.raises(InvalidRequest) as refused:
        clock.advance(duration)
    assert refused.value.field == "duration"
    with pytest.raises(InvalidRequest, match="never goes back"):
        clock.set(datetime(2023, 12, 31, tzinfo=UTC))
    assert clock.now() == before
