"""A connection that is used again serves as fast as a new one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import urllib3

import jobstate
from tests.adapters.server import serving

pytestmark = pytest.mark.alone

DELAYED_CONFIRMATION = 0.04
"""Seconds that the other side takes to confirm a packet which it has nothing to answer to."""


def test_an_answer_on_a_used_connection_waits_for_no_confirmation(tmp_path: Path) -> None:
    with jobstate.open(tmp_path / "jobs.db", durability="normal") as store, serving(store) as server:
        store.submit("extract")
        with urllib3.PoolManager(retries=False) as pool:
            assert pool.request("GET", f"{server.url}/jobs/1").status == 200
            took = []
            for _ in range(10):
                began = time.perf_counter()
                assert pool.request("GET", f"{server.url}/jobs/1").status == 200
                took.append(time.perf_counter() - began)
            assert pool.connection_from_url(server.url).num_connections == 1
    assert min(took) < DELAYED_CONFIRMATION
