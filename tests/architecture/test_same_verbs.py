"""A store, a client, the HTTP API and the command line have the same verbs and filters."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import jobstate
import jobstate.client.performers
import jobstate.store.performers
from jobstate import JobClient, JobStore, client, store
from jobstate.cli.commands.jobs import inspect_job, list_jobs
from jobstate.client import urls
from jobstate.http import Settings, create_app
from jobstate.operations import requests
from jobstate.operations.operations import Operations
from jobstate.operations.requests import Performers, Request
from jobstate.ports.queries import Filter

OF_A_PLACE = {"path", "close"}
"""What a store and a client each have of their own, with the same meaning."""
OF_A_STORE_ONLY = {
    *("batch", "submit_many", "schema_version", "counts", "newest_event"),
    *("ordered", "claim", "complete_many", "worker", "sweep", "audit", "backup"),
}
"""What takes the file itself, a commit over several calls, or has no place in the HTTP API yet."""


def _public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_every_shared_verb_is_declared_once() -> None:
    assert _public(JobClient) == OF_A_PLACE
    assert _public(JobStore) == OF_A_PLACE | OF_A_STORE_ONLY
    assert (JobStore.__bases__, JobClient.__bases__) == ((Operations,), (Operations,))


@pytest.mark.parametrize("performers", [store.performers.PERFORMERS, client.performers.PERFORMERS])
def test_both_sides_perform_every_request(performers: Performers[Any]) -> None:
    declared = {
        kind
        for kind in vars(requests).values()
        if inspect.isclass(kind) and issubclass(kind, Request) and kind is not Request
    }
    assert performers.functions.keys() == declared


FILTERS = {"status" if field.name == "states" else field.name for field in dataclasses.fields(Filter)}
PLACE = {"limit", "after"}


@pytest.mark.parametrize("verb", [JobStore.list, JobStore.iterate, JobClient.list, JobClient.iterate])
def test_every_filter_of_the_port_is_an_argument_of_list_and_iterate(verb: Callable[..., object]) -> None:
    assert inspect.signature(verb).parameters.keys() - {"self"} == FILTERS | PLACE


def test_every_filter_of_the_port_is_a_parameter_over_http() -> None:
    with jobstate.open(":memory:") as jobs:
        parameters = create_app(jobs, Settings()).openapi()["paths"]["/jobs"]["get"]["parameters"]
    names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    assert names == FILTERS - {"labels"} | {"label", "limit", "last_job_id", "view"}


def test_a_client_sends_every_filter_of_the_port() -> None:
    assert urls.job_filter(Filter()).keys() == FILTERS - {"labels"} | {"label"}


def test_every_filter_of_the_port_is_an_option_of_the_list_command() -> None:
    options = {parameter.name for parameter in list_jobs.params}
    shared = {parameter.name for parameter in inspect_job.params} - {"job_id"}
    assert options - shared == FILTERS - {"node_id"} | {"node"} | PLACE
