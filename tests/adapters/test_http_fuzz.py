"""The API's description says exactly what the server does: a fuzzer that reads it finds nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jobstate
from jobstate.http import Settings
from jobstate.wire.states import Dialect
from tests.adapters.server import serving

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dialect", "phases"), [(Dialect.DOCS, "examples,coverage,fuzzing,stateful"), (Dialect.SDK, "examples,coverage")]
)
def test_a_fuzzer_over_the_whole_description_finds_nothing(dialect: Dialect, phases: str, tmp_path: Path) -> None:
    # The fuzzer reads every answer to its end, so streams and waits are short here.
    settings = Settings(dialect=dialect, sweep_every=0.05, longest_wait=0.05, stream_seconds=0.05)
    with jobstate.open(tmp_path / "jobs.db", durability="normal") as store:
        for number in range(5):
            store.submit("extract", {"number": number}, key=f"key-{number}", hold=number == 0)
        (run,) = store.claim("worker-01", lease=3600)
        run.metrics("source_1", kind="source", records_in=10, latency_ms=[1.5, 2.5])
        run.log.warning("slow", operator_id="source_1", task_index=0, details={"seconds": 5}, record="x")
        run.emit("sink_1", {"id": 1})
        run.checkpoint(operators=[jobstate.OperatorState("source_1", 10, "Source", {0: 10})])
        run.fail("disk gone", retryable=False)
        with serving(store, settings) as server:
            found = subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli"),
                    *(
                        "--config-file",
                        str(ROOT / "tests/adapters/schemathesis.toml"),
                        "run",
                        f"{server.url}/openapi.json",
                    ),
                    *(
                        "--max-examples",
                        "20",
                        "--request-timeout",
                        "60",
                        "--seed",
                        "1",
                        "--no-color",
                        "--max-failures",
                        "20",
                    ),
                    *("--phases", phases),
                ],
                cwd=tmp_path,  # it keeps a cache where it is
                env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.adapters.fuzz_hooks", "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=280,
            )
        assert found.returncode == 0, found.stdout[-20_000:] + found.stderr
        assert "32 selected / 32 total" in found.stdout
        assert store.audit().ok
