"""The URI of a database file, with which SQLite opens it and creates none. Loads nothing: a shell waits for it."""

from __future__ import annotations

import os


def file_uri(path: str, mode: str) -> str:
    """The URI that opens the file in this mode: `ro` to read, `rw` also to write."""
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file://{quoted}?mode={mode}"
