"""Lines of text for people: lined up in the cells of a terminal, folded at its edge, coloured only there.

Nothing here imports rich but for the width of letters beyond ASCII: most commands print a few lines and end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import click

UNLIMITED: Final = sys.maxsize
"""The width of piped output, which is never cut or folded."""
_USUAL: Final = 80
_NARROWEST: Final = 8
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a grid. `share` is its part of what is left on a narrow terminal; one without is never cut."""

    title: str
    share: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """Text in a grid, and how it looks: `bold`, `dim`, a colour, or several of them."""

    text: str
    look: str = ""


def columns() -> int:
    """How many cells a line of standard output has."""
    if not sys.stdout.isatty():
        return UNLIMITED
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL


def styled(text: str, look: str) -> str:
    """Text that looks so, on a terminal that has colours and whose user wants them."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    if not text or not look or not wanted:
        return text
    words = look.split()
    colour = next((word for word in words if word not in {"bold", "dim"}), None)
    return click.style(text, fg=colour, bold="bold" in words or None, dim="dim" in words or None)


def printable(text: str, keep: str = "") -> str:
    """Text that cannot command a terminal or break a line: what is not printable, but for `keep`, is escaped."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


def headline(text: str) -> str:
    """The first line of a text, and a mark where there are more."""
    first, *rest = text.strip().splitlines() or [""]
    return f"{first} …" if rest else first


def cells(text: str) -> int:
    """How many cells of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def counted(number: int, noun: str, several: str = "") -> str:
    """`1 job`, `2,000 jobs`; `several` where more than one are not called so."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits, and an ellipsis."""
    return text if cells(text) <= width else text[: _fitting(text, width - 1)] + "…"


def folded(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words where they are longer than `width`."""
    lines = []
    for whole in printable(text, keep="\n\t").expandtabs(4).split("\n"):
        line = whole
        while cells(line) > width:
            most = max(1, _fitting(line, width))
            space = line.rfind(" ", 1, most + 1)
            end = space if line[: max(space, 0)].strip() else most
            lines.append(line[:end].rstrip())
            line = line[end:].lstrip()
        lines.append(line.rstrip())
    return lines


def hanging(head: str, text: str, width: int) -> str:
    """`head` and, beside it, the text in one line; folded, the further lines begin where the first one does."""
    indent = cells(head)
    return head + f"\n{' ' * indent}".join(folded(printable(text), max(width - indent, _NARROWEST)))


def grid(head: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Iterator[str]:
    """A line of titles and a line a row, without space at their ends."""
    told = [[Cell(printable(cell.text), cell.look) for cell in row] for row in rows]
    titles = [Cell(column.title, "bold") for column in head]
    needed = [max(cells(row[number].text) for row in (titles, *told)) for number in range(len(head))]
    widths = _fitted(head, needed, width)
    for row in (titles, *told):
        yield _GAP.join(
            _placed(cell, column, room) for cell, column, room in zip(row, head, widths, strict=True)
        ).rstrip()


def _fitted(head: Sequence[Column], needed: Sequence[int], width: int) -> list[int]:
    """The width of each column: those with a share divide what the others leave, and none takes more than it needs."""
    widths = list(needed)
    sharing = [number for number, column in enumerate(head) if column.share]
    room = width - len(_GAP) * (len(head) - 1) - sum(widths) + sum(widths[number] for number in sharing)
    parts = sum(head[number].share for number in sharing)
    for number in sorted(sharing, key=lambda number: needed[number] / head[number].share):
        widths[number] = min(needed[number], max(_NARROWEST, room * head[number].share // parts))
        room -= widths[number]
        parts -= head[number].share
    return widths


def _placed(cell: Cell, column: Column, room: int) -> str:
    shown = cut(cell.text, room)
    space = " " * (room - cells(shown))
    return space + styled(shown, cell.look) if column.right else styled(shown, cell.look) + space


def _fitting(text: str, width: int) -> int:
    """How many letters of the text fit into so many cells."""
    if text.isascii():
        return min(len(text), width)
    used = 0
    for number, letter in enumerate(text):
        used += cells(letter)
        if used > width:
            return number
    return len(text)
