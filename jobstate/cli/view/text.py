"""Lines of text for people: aligned, wrapped and coloured for a terminal, plain elsewhere.

rich is imported only to measure letters beyond ASCII: most commands print a few lines and end.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import click

UNLIMITED: Final = sys.maxsize
"""The width of piped output, which is never truncated or wrapped."""
_USUAL: Final = 80
_NARROWEST: Final = 8
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; those with a share divide the free width of a narrow terminal, the others keep theirs."""

    title: str
    share: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table, and its style: `bold`, `dim`, a colour, or several of them."""

    text: str
    style: str = ""


def terminal_width() -> int:
    """The width of standard output in cells; `UNLIMITED` where it is not a terminal."""
    if not sys.stdout.isatty():
        return UNLIMITED
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL


def has_colours() -> bool:
    """Whether standard output is a terminal that has colours and whose user wants them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def styled(text: str, style: str) -> str:
    """The text in this style, where there are colours."""
    if not text or not style or not has_colours():
        return text
    words = style.split()
    colour = next((word for word in words if word not in {"bold", "dim"}), None)
    return click.style(text, fg=colour, bold="bold" in words or None, dim="dim" in words or None)


def printable(text: str, keep: str = "") -> str:
    """The text with every character escaped that is not printable, except those of `keep`.

    Such a text cannot send commands to a terminal or break a line.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


def first_line(text: str) -> str:
    """The first line of a text, with an ellipsis if there are more."""
    first, *rest = text.strip().splitlines() or [""]
    return f"{first} …" if rest else first


def cell_width(text: str) -> int:
    """The width of a printable text in cells of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def plural(number: int, noun: str, several: str = "") -> str:
    """`1 job`, `2,000 jobs`; `several` is the plural if it is irregular."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def truncated(text: str, width: int) -> str:
    """The text, or the start of it that fits and an ellipsis."""
    return text if cell_width(text) <= width else text[: _fitting(text, width - 1)] + "…"


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words where a line is longer than `width`."""
    lines = []
    for whole in printable(text, keep="\n\t").expandtabs(4).split("\n"):
        line = whole
        while cell_width(line) > width:
            most = max(1, _fitting(line, width))
            space = line.rfind(" ", 1, most + 1)
            end = space if line[: max(space, 0)].strip() else most
            lines.append(line[:end].rstrip())
            line = line[end:].lstrip()
        lines.append(line.rstrip())
    return lines


def hanging(head: str, text: str, width: int) -> str:
    """`head` and the text beside it; where it wraps, all lines of the text start in the same column."""
    indent = cell_width(head)
    return head + f"\n{' ' * indent}".join(wrapped(printable(text), max(width - indent, _NARROWEST)))


def table(head: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Iterator[str]:
    """A line of titles and a line for each row, without trailing space."""
    body = [[Cell(printable(cell.text), cell.style) for cell in row] for row in rows]
    titles = [Cell(column.title, "bold") for column in head]
    needed = [max(cell_width(row[number].text) for row in (titles, *body)) for number in range(len(head))]
    widths = _fit_columns(head, needed, width)
    for row in (titles, *body):
        yield _GAP.join(
            _aligned(cell, column, room) for cell, column, room in zip(row, head, widths, strict=True)
        ).rstrip()


def _fit_columns(head: Sequence[Column], needed: Sequence[int], width: int) -> list[int]:
    """The width of each column: those with a share divide what the others leave; none gets more than it needs."""
    widths = list(needed)
    sharing = [number for number, column in enumerate(head) if column.share]
    room = width - len(_GAP) * (len(head) - 1) - sum(widths) + sum(widths[number] for number in sharing)
    parts = sum(head[number].share for number in sharing)
    for number in sorted(sharing, key=lambda number: needed[number] / head[number].share):
        widths[number] = min(needed[number], max(_NARROWEST, room * head[number].share // parts))
        room -= widths[number]
        parts -= head[number].share
    return widths


def _aligned(cell: Cell, column: Column, room: int) -> str:
    shown = truncated(cell.text, room)
    space = " " * (room - cell_width(shown))
    return space + styled(shown, cell.style) if column.right else styled(shown, cell.style) + space


def _fitting(text: str, width: int) -> int:
    """How many letters of the text fit into `width` cells."""
    if text.isascii():
        return min(len(text), width)
    used = 0
    for number, letter in enumerate(text):
        used += cell_width(letter)
        if used > width:
            return number
    return len(text)


def field_lines(fields: Iterable[tuple[str, str, str]], width: int, names: int) -> Iterator[str]:
    """A line for each field (name, value, style of the value), wrapped; fields without a value are left out.

    Args:
        fields: The fields.
        width: The width of the terminal.
        names: The width of the longest name.
    """
    for name, value, style in fields:
        if value:
            first, *rest = wrapped(value, max(width - names - 2, 20))
            yield f"{styled(name.ljust(names), 'bold')}  {styled(first, style)}"
            yield from (f"{' ' * names}  {styled(line, style)}".rstrip() for line in rest)


def readable_json(document: str, width: int) -> str:
    """A JSON document in one line if it fits or is not an object, else with a line for each field."""
    if cell_width(document) <= width or not document.startswith("{"):
        return document
    write = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    return "{" + ",\n ".join(f"{write(name)}:{write(value)}" for name, value in json.loads(document).items()) + "}"
