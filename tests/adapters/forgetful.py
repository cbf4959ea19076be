"""Workers of the demo that read from the beginning, whatever checkpoint they are given."""

from __future__ import annotations

import sys

from jobstate.cli.demo import work

if __name__ == "__main__":
    work.start_of = lambda run: 0
    work.serve(*sys.argv[1:])
