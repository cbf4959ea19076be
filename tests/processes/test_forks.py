"""A fork with a store open: the child is refused, and its end does not disturb what the parent holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import jobstate
from tests.processes.team import member


@pytest.mark.parametrize("way", ["hard", "soft", "close", "reopen"])
def test_a_forked_child_is_refused_and_its_end_leaves_the_parents_lock_and_data_alone(tmp_path: Path, way: str) -> None:
    """`hard` is os._exit, `soft` a normal exit, `close` closes the inherited store, `reopen` opens one of its own."""
    path = tmp_path / "jobs.db"
    with member("forker", path, way) as parent:
        assert parent.receive() == {"child": 7}
        # The parent is inside a write transaction: everybody else must still see its lock.
        with member("try_to_write", path) as other:
            assert other.receive() == "ready"
            other.send()
            assert other.receive() == "busy"
            assert other.ended() == 0
        parent.send()
        assert parent.receive() == {"audit": True, "jobs": 52}
        assert parent.ended() == 0
    with jobstate.open(path) as jobs:
        assert jobs.audit().findings == ()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
