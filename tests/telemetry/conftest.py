"""Stores that are observed, of each kind that the contract knows."""

from __future__ import annotations

import pytest

from jobstate import JobStore
from tests.contract.conftest import OpenStore, blanks, clock, kind_of_store, open_store
from tests.telemetry.remembering import Remembering

__all__ = ["blanks", "clock", "kind_of_store", "open_store"]


@pytest.fixture
def seen() -> Remembering:
    """What the store of the test told."""
    return Remembering()


@pytest.fixture
def store(open_store: OpenStore, seen: Remembering) -> JobStore:
    """One empty store that is observed."""
    return open_store(observers=[seen])
