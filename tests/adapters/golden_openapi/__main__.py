"""Write the files."""

from __future__ import annotations

import sys

from jobstate.wire.states import Dialect
from tests.adapters.golden_openapi import content, kept

if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.adapters.golden_openapi --write")
    for dialect in Dialect:
        kept(dialect).write_text(content(dialect))
