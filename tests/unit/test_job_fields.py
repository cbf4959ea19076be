"""The table of a job's fields outside the process fits the job and its submission."""

from __future__ import annotations

import inspect

import pytest

from jobstate import JobStore
from jobstate.domain.job import Job
from jobstate.wire.job_fields import AMP, CONFIGURATION, FIELDS, INPUTS, PIPELINE


def test_each_field_is_declared_once() -> None:
    for table in (FIELDS, PIPELINE):
        names = [field.name for field in table]
        assert len(names) == len(set(names))


def test_a_submission_gives_exactly_the_arguments_of_submit_with_the_same_defaults() -> None:
    parameters = inspect.signature(JobStore.submit).parameters
    arguments = [name for name in parameters if name not in ("self", "actor", "reason")]
    assert set(INPUTS) == set(arguments)
    for name, given in INPUTS.items():
        default = parameters[name].default
        if name == "kind":
            assert given.default is ... and default is inspect.Parameter.empty
        elif callable(given.default):
            assert default is None  # `submit` takes None for an empty one
        elif name != "retry":  # null: the default policy
            assert given.default == default, name


@pytest.mark.parametrize("field", [field for field in FIELDS if field.read], ids=lambda field: field.name)
def test_what_documents_have_is_a_field_of_job(field: object) -> None:
    assert getattr(field, "name") in dir(Job) or getattr(field, "name") == "status"  # noqa: B009


def test_every_field_has_a_text() -> None:
    assert all(field.text for field in (*AMP, *PIPELINE))
    assert all(given.text for given in INPUTS.values())
    assert [field.name for field in CONFIGURATION] == ["kind", "descriptor", "parallelism", "max_attempts"]
