"""Entries of a log: a line for each, with its details and its record below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from jobstate.cli.view.text import cell_width, plural, printable, styled, wrapped
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.ports.queries import LogPage
from jobstate.wire.telemetry import cell_text

_STYLES: Final = {LogLevel.ERROR: "red", LogLevel.WARN: "yellow"}
_LEVEL: Final = max(len(level) for level in LogLevel)
_INDENT: Final = "    "
_MIN_WIDTH: Final = 20


def entry_lines(entry: LogEntry, width: int) -> Iterator[str]:
    """An entry: time, level, operator and task, message; then its details and its record, indented."""
    begin = f"{entry.time:%Y-%m-%d %H:%M:%S}Z  "
    level = entry.level.value
    head = f"{begin}{level:{_LEVEL}}  "
    first, *rest = wrapped(_source(entry) + entry.message.strip("\n"), max(width - len(head), _MIN_WIDTH))
    yield f"{begin}{styled(level, _STYLES.get(entry.level, ''))}{head[len(begin) + len(level) :]}{first}".rstrip()
    yield from (f"{' ' * len(head)}{line}".rstrip() for line in rest)
    details = entry.details
    if isinstance(details, Mapping):
        for name, value in details.items():
            yield from _indented(f"{printable(name)}: ", cell_text(value), width)
    elif details is not None:
        yield from _indented("", cell_text(details).strip("\n"), width)
    if entry.record is not None:
        yield from _indented("record: ", entry.record, width)


def not_shown(page: LogPage, *, filtered: bool) -> str:
    """What a page leaves out: older entries, and entries no longer kept; empty if it shows all."""
    parts = []
    dropped = page.retained < page.total
    if not filtered and (page.has_more or dropped):
        parts.append(f"showing {len(page):,} of {page.total:,}")
    elif page.has_more:
        parts.append(f"showing {len(page):,} that match")
    if dropped:
        of_all = f"of {plural(page.total, 'entry', 'entries')} " if filtered else ""
        parts.append(f"{of_all}the newest {page.retained:,} are kept")
    if page.has_more:
        parts.append(f"older entries: --before {page.entries[-1].number}")
    return "; ".join(parts)


def _source(entry: LogEntry) -> str:
    task = "" if entry.task_index is None else f"[{entry.task_index}]"
    if entry.operator_id is None:
        return f"task {entry.task_index}: " if task else ""
    return f"{entry.operator_id}{task}: "


def _indented(name: str, value: str, width: int) -> Iterator[str]:
    """A name and its value below an entry; all lines of the value start in the same column."""
    indent = cell_width(name)
    first, *rest = wrapped(value, max(width - len(_INDENT) - indent, _MIN_WIDTH))
    yield f"{_INDENT}{name}{first}".rstrip()
    yield from (f"{_INDENT}{' ' * indent}{line}".rstrip() for line in rest)
