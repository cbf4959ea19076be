"""Workers of the demo that read from the beginning, and ignore their checkpoint."""

from __future__ import annotations

import sys

from jobstate.demo import worker

if __name__ == "__main__":
    worker.start_of = lambda run: 0
    worker.serve(*sys.argv[1:])
