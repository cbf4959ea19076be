"""Without observers, none of their modules is loaded."""

from __future__ import annotations

import subprocess
import sys

WORK = """
import sys
import jobstate
with jobstate.open(":memory:") as jobs:
    jobs.submit("extract")
    (run,) = jobs.claim("worker-01")
    run.heartbeat()
    run.complete()
    jobs.sweep()
never = ("prometheus_client", "opentelemetry", "jobstate.telemetry")
never += ("jobstate.storage.observed", "jobstate.observers.dispatcher", "jobstate.observers.delivery_queue")
print(sorted(name for name in sys.modules if name.startswith(never)))
"""


def test_submitting_and_working_load_nothing_of_it() -> None:
    result = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")
