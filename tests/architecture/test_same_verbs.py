"""A store and a client of one are called alike: who has one may use the other."""

from __future__ import annotations

import inspect

import pytest

from jobstate import JobClient, JobStore

SHARED = sorted(name for name in dir(JobClient) if not name.startswith("_") and hasattr(JobStore, name))
OF_A_STORE_ONLY = {
    *("batch", "submit_many", "schema_version", "counts", "newest_event"),
    *("ordered", "claim", "complete_many", "worker", "sweep", "audit", "backup"),
}
"""What takes the file itself, a commit over several calls, or has no place in the HTTP API yet."""


def _public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_a_client_has_every_verb_that_can_go_through_a_server_and_no_other() -> None:
    assert _public(JobClient) == _public(JobStore) - OF_A_STORE_ONLY


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_verb_is_called_alike_and_returns_alike(name: str) -> None:
    here, there = inspect.getattr_static(JobStore, name), inspect.getattr_static(JobClient, name)
    if isinstance(here, property):
        here, there = here.fget, there.fget
    expected, found = inspect.signature(here), inspect.signature(there)
    assert found.parameters == expected.parameters
    assert found.return_annotation == expected.return_annotation.replace("JobStore", "JobClient")
