"""What every store promises, as tests: for those who write a `jobstate.ports.repository.Repository` of their own.

A test module of theirs says which kind of store to run them against:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store_kind(self) -> StoreKind:
            return StoreKind(make=MyStore, again=None, from_backup=None)

Below it are the areas: `TestMyStore::TestClaiming::test_a_claim_takes_at_most_its_limit` is one test. Jobstate's own
stores pass the same ones.
"""

from __future__ import annotations

from jobstate.testing.contract.fixtures import StoreFixtures as StoreFixtures
from jobstate.testing.contract.kinds import OpenStore as OpenStore
from jobstate.testing.contract.kinds import OpenTwice as OpenTwice
from jobstate.testing.contract.kinds import StoreKind as StoreKind
from jobstate.testing.contract.suite import StoreContract as StoreContract
