"""A store of the caller's own making is opened like any other, once it has all that the port names."""

from __future__ import annotations

from typing import Any

import pytest

import jobstate
from jobstate import InvalidRequest, Observer, State
from jobstate.testing import assert_no_leaks, crash_after, drain, staged
from tests.contract.ported import in_memory


def test_it_is_opened_and_closed_with_the_job_store() -> None:
    own: Any = in_memory()
    with jobstate.open(own, actor="cli:ana") as jobs:
        job = jobs.submit("extract")
        assert (jobs.repository, jobs.get(job).actor) == (own, "cli:ana")
    with pytest.raises(jobstate.StoreClosed):
        own.jobs.find(1)


def test_what_it_lacks_is_named() -> None:
    own: Any = in_memory()
    del own.workers, own.backup, own.leases.look
    own.history.events = "no method"
    with pytest.raises(InvalidRequest) as refused:
        jobstate.open(own)
    assert str(refused.value) == (
        "target: is a store without backup, leases.look, history.events, workers; "
        "jobstate.ports.repository.Repository says what they do"
    )


@pytest.mark.parametrize(
    "options",
    [{"durability": "normal"}, {"create": False}, {"timeout": 5}, {"table_prefix": "q"}, {"observers": [Observer()]}],
)
def test_options_that_it_could_not_heed_are_refused(options: dict[str, Any]) -> None:
    (field,) = options
    with pytest.raises(InvalidRequest, match=f"{field}: is for the stores that jobstate makes"):
        jobstate.open(in_memory(), **options)


def test_what_is_no_store_at_all_is_told_what_would_be() -> None:
    with pytest.raises(
        InvalidRequest, match=r"a path, a peewee SqliteDatabase or a jobstate\.ports\.repository\.Repository"
    ):
        jobstate.open(object())


def test_it_can_be_staged_so_that_faults_come_to_it() -> None:
    with staged(in_memory()) as stage:
        job = stage.store.submit("extract")
        with crash_after("claim"):
            drain({"extract": print})
        assert stage.store.get(job).state is State.RUNNING
        drain({"extract": lambda run: None}, turn_clock=True)
        assert stage.store.get(job).attempt == 2
        assert_no_leaks()
