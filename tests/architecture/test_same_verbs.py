"""A store, a client, the HTTP API and the command line have the same verbs and filters."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable

import pytest

import jobstate
from jobstate import JobClient, JobStore
from jobstate.cli.commands.jobs import inspect_job, list_jobs
from jobstate.http import Settings, create_app
from jobstate.ports.queries import Filter

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


FILTERS = {"status" if field.name == "states" else field.name for field in dataclasses.fields(Filter)}
PLACE = {"limit", "after"}


@pytest.mark.parametrize("verb", [JobStore.list, JobStore.iterate, JobClient.list, JobClient.iterate])
def test_every_filter_of_the_port_is_an_argument_of_list_and_iterate(verb: Callable[..., object]) -> None:
    assert inspect.signature(verb).parameters.keys() - {"self"} == FILTERS | PLACE


def test_every_filter_of_the_port_is_a_parameter_over_http() -> None:
    with jobstate.open(":memory:") as store:
        parameters = create_app(store, Settings()).openapi()["paths"]["/jobs"]["get"]["parameters"]
    names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    assert names == FILTERS - {"labels"} | {"label", "limit", "last_job_id", "view"}


def test_every_filter_of_the_port_is_an_option_of_the_list_command() -> None:
    options = {parameter.name for parameter in list_jobs.params}
    shared = {parameter.name for parameter in inspect_job.params} - {"job_id"}
    assert options - shared == FILTERS - {"node_id"} | {"node"} | PLACE
