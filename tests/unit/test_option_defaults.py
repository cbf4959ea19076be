"""The defaults of the command line are those of the library and the server, declared once."""

from __future__ import annotations

import inspect

import click
import pytest

import jobstate
from jobstate.cli.registry import cli
from jobstate.core.context import DEFAULT_LEASE
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS
from jobstate.domain.stop import DEFAULT_STOP_TIMEOUT
from jobstate.http.server import serve
from jobstate.wire.address import DEFAULT_HOST, DEFAULT_PORT


def option(command: str, name: str) -> click.Option:
    context = click.Context(cli)
    found = cli.get_command(context, command)
    assert found is not None
    (parameter,) = [parameter for parameter in found.params if parameter.name == name]
    assert isinstance(parameter, click.Option)
    return parameter


def default(command: str, name: str) -> object:
    """The default as the command gets it."""
    parameter = option(command, name)
    return parameter.type.convert(parameter.default, parameter, None)


@pytest.mark.parametrize(
    ("command", "name", "constant", "call"),
    [
        ("worker", "lease", DEFAULT_LEASE, jobstate.JobStore.worker),
        ("submit", "max_attempts", DEFAULT_MAX_ATTEMPTS, jobstate.JobStore.submit),
        ("serve", "host", DEFAULT_HOST, serve),
        ("serve", "port", DEFAULT_PORT, serve),
        ("list", "limit", 50, jobstate.JobStore.list),
        ("logs", "limit", 50, jobstate.JobStore.logs),
        ("errors", "limit", 50, jobstate.JobStore.errors),
        ("output", "limit", 50, jobstate.JobStore.output),
        ("checkpoints", "limit", 50, jobstate.JobStore.checkpoint_slice),
        ("submit", "parallelism", 1, jobstate.JobStore.submit),
        ("submit", "priority", 0, jobstate.JobStore.submit),
    ],
)
def test_an_option_and_the_call_behind_it_have_the_same_default(
    command: str, name: str, constant: object, call: object
) -> None:
    assert callable(call)
    assert default(command, name) == constant == inspect.signature(call).parameters[name].default


def test_the_help_of_stop_names_the_timeout_of_a_store() -> None:
    assert inspect.signature(jobstate.open).parameters["stop_timeout"].default == DEFAULT_STOP_TIMEOUT
    assert f"[default: {DEFAULT_STOP_TIMEOUT:g}s]" in (option("stop", "timeout").help or "")


def test_the_default_concurrency_is_that_of_a_worker() -> None:
    assert (
        default("worker", "concurrency") == inspect.signature(jobstate.Worker.serve).parameters["concurrency"].default
    )
