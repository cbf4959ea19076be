"""Long text on a terminal, in the pager of its user, as git shows it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from typing import Final

import click

_USUAL_HEIGHT: Final = 24
_DEFAULT_PAGER: Final = "less"
_LESS_OPTIONS: Final = "FRX"
"""End at once if the text fits, pass colours on, leave the text on the screen; `LESS` in the environment wins."""


def page(text: str) -> None:
    """Print the text on standard output, a terminal; through a pager if it has more lines than the terminal.

    `PAGER` names the pager and its options; empty or `cat` means none, and so does a program that does not exist.
    """
    pager = shlex.split(os.environ.get("PAGER", _DEFAULT_PAGER))
    if text.count("\n") < _height() or pager in ([], ["cat"]) or shutil.which(pager[0]) is None:
        click.echo(text, nl=False)
        return
    environment = {"LESS": _LESS_OPTIONS, **os.environ}
    sys.stdout.flush()
    with subprocess.Popen(pager, stdin=subprocess.PIPE, env=environment) as process:  # noqa: S603  (the user's own)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pager
        try:
            process.communicate(text.encode())
        finally:
            signal.signal(signal.SIGINT, before)


def _height() -> int:
    lines = os.environ.get("LINES", "")
    if lines.isdigit() and int(lines):
        return int(lines)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or _USUAL_HEIGHT
    except (OSError, ValueError):
        return _USUAL_HEIGHT
