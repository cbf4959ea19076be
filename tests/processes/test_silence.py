"""A process reports nothing about its jobs unless it is asked."""

from __future__ import annotations

import subprocess
import sys


def test_a_log_that_nobody_listens_to_is_silent() -> None:
    script = (
        "import jobstate\n"
        "with jobstate.open(':memory:') as jobs:\n"
        "    jobs.submit('x')\n"
        "    jobs.claim('w')[0].log.error('for the job alone')\n"
    )
    spoken = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (spoken.stdout, spoken.stderr) == ("", "")
