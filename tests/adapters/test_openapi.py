"""The description of the HTTP API changes only on purpose."""

from __future__ import annotations

import pytest

from jobstate.wire.states import Dialect
from tests.adapters.golden_openapi import content, kept


@pytest.mark.parametrize("dialect", Dialect)
def test_the_description_of_each_profile_is_what_its_golden_file_says(dialect: Dialect) -> None:
    renew = "read it, then: python -m tests.adapters.golden_openapi --write"
    assert content(dialect) == kept(dialect).read_text(), renew
