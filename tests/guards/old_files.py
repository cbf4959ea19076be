"""The file that the first version of jobstate wrote, with a job in every state of `ledger.NAMES`; never made again."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

VERSION_1: Final = Path(__file__).with_name("version_1.db.gz")


def first_version(folder: Path, name: str = "jobs.db") -> Path:
    """A copy of that file, which the caller may change."""
    path = folder / name
    path.write_bytes(gzip.decompress(VERSION_1.read_bytes()))
    return path
