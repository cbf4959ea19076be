"""The suite needs nothing but the port: it runs over a store that has nothing else."""

from __future__ import annotations

import pytest

from jobstate.testing.contract import StoreContract, StoreKind
from tests.contract.ported import in_a_file, in_memory


@pytest.mark.slow
class TestPorted(StoreContract):
    """What every store promises."""

    @pytest.fixture
    def store_kind(self) -> StoreKind:
        """A store of somebody else's making."""
        return StoreKind(make=in_memory, again=None, from_backup=in_a_file)
