"""How entries of a log look to people: a line, and below it what was said beside the message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from jobstate.cli.text import cells, counted, folded, printable, styled
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.ports.queries import LogPage
from jobstate.wire.telemetry import cell_text

_LOOKS: Final = {LogLevel.ERROR: "red", LogLevel.WARN: "yellow"}
_LEVEL: Final = max(len(level) for level in LogLevel)
_INDENT: Final = "    "
_NARROWEST: Final = 20


def entry_lines(entry: LogEntry, width: int) -> Iterator[str]:
    """An entry: when, how grave, by whom, the message; then details and the record, indented."""
    begin = f"{entry.time:%Y-%m-%d %H:%M:%S}Z  "
    level = entry.level.value
    head = f"{begin}{level:{_LEVEL}}  "
    first, *rest = folded(_whose(entry) + entry.message.strip("\n"), max(width - len(head), _NARROWEST))
    yield f"{begin}{styled(level, _LOOKS.get(entry.level, ''))}{head[len(begin) + len(level) :]}{first}".rstrip()
    yield from (f"{' ' * len(head)}{line}".rstrip() for line in rest)
    details = entry.details
    if isinstance(details, Mapping):
        for name, value in details.items():
            yield from _hung(f"{printable(name)}: ", cell_text(value), width)
    elif details is not None:
        yield from _hung("", cell_text(details).strip("\n"), width)
    if entry.record is not None:
        yield from _hung("record: ", entry.record, width)


def extent(page: LogPage, *, filtered: bool) -> str:
    """What a page does not show: older entries, and those that are gone; empty where it shows all."""
    told = []
    gone = page.retained < page.total
    if not filtered and (page.has_more or gone):
        told.append(f"showing {len(page):,} of {page.total:,}")
    elif page.has_more:
        told.append(f"showing {len(page):,} that match")
    if gone:
        of_all = f"of {counted(page.total, 'entry', 'entries')} " if filtered else ""
        told.append(f"{of_all}the newest {page.retained:,} are kept")
    if page.has_more:
        told.append(f"older ones: --before {page.entries[-1].number}")
    return "; ".join(told)


def _whose(entry: LogEntry) -> str:
    task = "" if entry.task_index is None else f"[{entry.task_index}]"
    if entry.operator_id is None:
        return f"task {entry.task_index}: " if task else ""
    return f"{entry.operator_id}{task}: "


def _hung(name: str, value: str, width: int) -> Iterator[str]:
    """A name and its value below an entry; further lines of the value begin where the first one does."""
    indent = cells(name)
    first, *rest = folded(value, max(width - len(_INDENT) - indent, _NARROWEST))
    yield f"{_INDENT}{name}{first}".rstrip()
    yield from (f"{_INDENT}{' ' * indent}{line}".rstrip() for line in rest)
