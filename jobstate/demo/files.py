"""The files that the demo counts, and the count of one file."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INSTALLED: Final = ("site-packages", "dist-packages")
"""Sub-folders of the standard library that are not part of it."""
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tally:
    """Files, bytes and lines."""

    files: int = 0
    size_bytes: int = 0
    lines: int = 0
    unreadable: int = 0
    """The number of files without read permission; they count without their content."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.files + other.files,
            self.size_bytes + other.size_bytes,
            self.lines + other.lines,
            self.unreadable + other.unreadable,
        )

    def __str__(self) -> str:
        return f"{self.files:,} files, {self.size_bytes:,} bytes, {self.lines:,} lines"


@dataclass(frozen=True, slots=True)
class Part:
    """The work of one job: a folder with all its sub-folders, or only the files directly in it."""

    folder: Path
    recursive: bool
    exclude: tuple[str, ...]

    def files(self) -> list[Path]:
        """The regular files in the order of their paths, without links."""
        found = []
        for path, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if name not in self.exclude) if self.recursive else []
            found += [file for file in (Path(path, name) for name in names) if file.is_file() and not file.is_symlink()]
        return sorted(found)


def default_folder() -> Path:
    """The standard library of this Python."""
    return Path(sysconfig.get_path("stdlib"))


def parts(folder: Path, exclude: tuple[str, ...]) -> Iterator[Part]:
    """One part for the files in the folder itself, and one for each sub-folder."""
    yield Part(folder, recursive=False, exclude=exclude)
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and entry.name not in exclude:
            yield Part(entry, recursive=True, exclude=exclude)


def table_of(path: Path) -> str:
    """The table that counts a file: its suffix."""
    suffix = path.suffix.removeprefix(".").lower()
    return suffix if suffix.isprintable() and 0 < len(suffix) <= 20 else "other"


def read(path: Path) -> Tally:
    """Count one file; a file without read permission counts without its content."""
    size = lines = 0
    last = b"\n"
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                lines += chunk.count(b"\n")
                last = chunk[-1:]
    except PermissionError:
        return Tally(1, unreadable=1)
    return Tally(1, size, lines + (last != b"\n"))
