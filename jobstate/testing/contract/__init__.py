"""The promises of every store, as tests, for authors of a `jobstate.ports.repository.Repository`.

A test module declares the store under test:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store_kind(self) -> StoreKind:
            return StoreKind(make=MyStore, again=None, from_backup=None)

It has one class for each area: `TestMyStore::TestClaiming::test_a_claim_takes_at_most_its_limit` is one test. The
stores of jobstate pass the same tests.
"""

from __future__ import annotations

from jobstate.testing.contract.fixtures import StoreFixtures as StoreFixtures
from jobstate.testing.contract.kinds import OpenStore as OpenStore
from jobstate.testing.contract.kinds import OpenTwice as OpenTwice
from jobstate.testing.contract.kinds import StoreKind as StoreKind
from jobstate.testing.contract.suite import StoreContract as StoreContract
