"""`python -m tests.adapters.golden --write`: the golden files as the commands are now. Read what changed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.adapters.golden.cases import CASES, FOLDER, shown
from tests.adapters.golden.story import STORIES, tell

if sys.argv[1:] != ["--write"]:
    sys.exit("usage: python -m tests.adapters.golden --write")
with tempfile.TemporaryDirectory() as scratch:
    stories = {name: tell(name, Path(scratch)) for name in STORIES}
    for name in CASES:
        (FOLDER / f"{name}.txt").write_text(shown(name, stories, Path(scratch) / name))
