"""The suite over our kinds of store, which `conftest.py` lists."""

from __future__ import annotations

from jobstate.testing.contract import StoreContract


class TestStores(StoreContract):
    """What every store promises."""
