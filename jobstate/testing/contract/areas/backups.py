"""A backup equals the store, and is refused inside an open transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobstate import InvalidRequest, JobStore
from jobstate.testing.contract.situations import claimed, everything, one_of_each, running, submitted

BackUp = Callable[[JobStore], JobStore]


def test_a_backup_holds_all_that_the_store_held(store: JobStore, backed_up: BackUp) -> None:
    one_of_each(store)
    run = running(store)
    run.add_range("blocks", 0, 9, files=1)
    run.checkpoint(state={"next": 10})
    copy = backed_up(store)
    assert everything(copy) == everything(store)
    assert copy.audit().ok


def test_a_backup_lives_on_by_itself(store: JobStore, backed_up: BackUp) -> None:
    job = submitted(store)
    copy = backed_up(store)
    claimed(copy, job).complete()
    assert [event.trigger for event in store.events(job)] == ["submit"]
    assert copy.submit("extract").id == store.submit("extract").id


def test_a_backup_inside_a_transaction_is_refused(store: JobStore, backed_up: BackUp, tmp_path: Path) -> None:
    with store.batch(), pytest.raises(InvalidRequest, match="cannot be made inside a transaction"):
        backed_up(store)
    assert list(tmp_path.glob("backup*")) == []
