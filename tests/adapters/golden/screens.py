"""What a person sees of a command: on a terminal of a given width, and piped.

The command runs in a forked child of its own, on a real pseudo-terminal or on files, in front of a stopped clock.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Final
from unittest import mock

import rich.progress
from rich.cells import cell_len

import jobstate.store.doctor
from jobstate.cli import commands, main
from jobstate.cli.commands import guide
from jobstate.system import SystemClock

ENVIRONMENT: Final = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "JOBSTATE_ACTOR": "cli:ana", "HOME": "/home/ana"}
PLACE: Final = "/srv/jobs"
"""What the folder in which a command runs is called, whatever it is called."""
CRASHED: Final = 99
GUIDES: Final = Path(__file__).parent / "guides"
_IMPORTED_BEFORE: Final = (
    rich.progress,
    *(import_module(f"{commands.__name__}.{found.name}") for found in iter_modules(commands.__path__)),
)
"""So that not every child has to."""
WRAPPED: Final = "↩"
"""Stands behind a line that the terminal broke because it was too long."""
_STYLES: Final = {
    1: "bold",
    2: "dim",
    31: "red",
    32: "green",
    33: "yellow",
    36: "cyan",
    90: "bright black",
    91: "bright red",
    94: "bright blue",
    96: "bright cyan",
}
_SEQUENCE: Final = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|[\r\n]|[^\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Piped:
    """What went to standard output and to standard error, and the exit code."""

    out: str
    err: str
    code: int


@dataclass(frozen=True, slots=True)
class Screen:
    """The lines that stand on the terminal at the end, the texts that have a style, by style, and the exit code."""

    lines: list[str]
    styled: dict[str, list[str]]
    code: int


def piped(arguments: list[str], folder: Path, now_us: int, *, environment: dict[str, str] | None = None) -> Piped:
    """Run a command with both outputs in files."""
    out, err = folder / "stdout", folder / "stderr"
    child = os.fork()
    if child == 0:
        for number, path in ((0, Path(os.devnull)), (1, out), (2, err)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        _be_the_command(arguments, folder, now_us, environment or {})
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    told = Piped(_placed(out.read_text(), folder), _placed(err.read_text(), folder), code)
    out.unlink()
    err.unlink()
    return told


def on_a_terminal(
    arguments: list[str], folder: Path, now_us: int, columns: int, *, environment: dict[str, str] | None = None
) -> Screen:
    """Run a command on a pseudo-terminal, and see what stands there when it has ended."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        _be_the_command(arguments, folder, now_us, environment or {})
    told = b""
    try:
        while chunk := os.read(terminal, 65536):
            told += chunk
    except OSError:  # Linux says so that the other side is gone
        pass
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    lines, styled = seen(_placed(told.decode(), folder), columns)
    return Screen(lines, styled, code)


def _placed(text: str, folder: Path) -> str:
    """The text without what another machine or another schema would say."""
    for copy in folder.glob("copy.db"):
        text = text.replace(f"{copy.stat().st_size:,} bytes", "131,072 bytes")
    return text.replace(str(folder), PLACE)


def _be_the_command(arguments: list[str], folder: Path, now_us: int, environment: dict[str, str]) -> None:
    """In the child: run the command as a process of its own would, and end."""
    code = CRASHED
    try:
        sys.stdin = os.fdopen(0, encoding="utf-8")
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(ENVIRONMENT | environment)
        _fix_machine(now_us)
        _sample_guides()
        try:
            sys.argv = ["jobstate", *arguments]
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # whatever it is, it must not reach the test runner's own stack
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _fix_machine(now_us: int) -> None:
    """Fix what depends on the machine: the time, the sort of the file system, and other distributions."""
    mock.patch.object(SystemClock, "now", lambda _clock: now_us).start()
    mock.patch.object(jobstate.store.doctor, "file_system", lambda _path: "ext4").start()
    mock.patch.object(jobstate.store.doctor, "rivals", list).start()


def _sample_guides() -> None:
    """Guides that nobody edits."""
    mock.patch.object(guide, "root", lambda: GUIDES).start()


def seen(told: str, columns: int) -> tuple[list[str], dict[str, list[str]]]:
    """What a terminal makes of what a program sends: only what a jobstate command may send is understood."""
    rows: list[list[tuple[str, str]]] = [[]]
    row, place, style = 0, 0, ""
    wrapped: set[int] = set()
    at = 0
    while at < len(told):
        found = _SEQUENCE.match(told, at)
        assert found is not None, f"the terminal was sent {told[at : at + 8]!r}"
        at = found.end()
        character, values, letter = found[0], found[1], found[2]
        if character == "\r":
            place = 0
        elif character == "\n":
            row, place = row + 1, 0
        elif letter is None:
            width = cell_len(character)
            if place + width > columns:
                wrapped.add(row)
                row, place = row + 1, 0
            _grow(rows, row)
            rows[row][place : place + width] = [(character, style), *[("", style)] * (width - 1)]
            place += width
        elif letter == "m":
            style = "" if values in {"", "0"} else " ".join([*([style] if style else []), _named(values)])
        elif letter == "A":
            row -= int(values or 1)
        elif (letter, values) == ("K", "2"):
            _grow(rows, row)
            rows[row] = []
        else:
            assert (letter, values) in {("l", "?25"), ("h", "?25")}, f"the terminal was sent {character!r}"
        _grow(rows, row)
        rows[row] += [(" ", "")] * (place - len(rows[row]))
    lines = ["".join(character for character, _ in cells) for cells in rows]
    marked = [line + (WRAPPED if number in wrapped else "") for number, line in enumerate(lines)]
    while marked and not marked[-1]:
        marked.pop()
    return marked, _styled(rows)


def _named(codes: str) -> str:
    """The style's name; a colour beyond the eight that every terminal has is told by its number."""
    if codes.startswith("38;5;"):
        return f"colour {codes[5:]}"
    return " ".join(_STYLES[int(code)] for code in codes.split(";"))


def _grow(rows: list[list[tuple[str, str]]], row: int) -> None:
    rows += [[] for _ in range(row + 1 - len(rows))]


def _styled(rows: list[list[tuple[str, str]]]) -> dict[str, list[str]]:
    """Each text that has a style, once, under its style."""
    found: dict[str, list[str]] = {}
    for cells in rows:
        runs: list[tuple[str, str]] = []
        for character, style in cells:
            if runs and runs[-1][1] == style:
                runs[-1] = (runs[-1][0] + character, style)
            else:
                runs.append((character, style))
        for text, style in runs:
            if style and text.strip() and text.strip() not in found.setdefault(style, []):
                found[style].append(text.strip())
    return found
