"""Rows that a job emitted, in the pipeline dialect: as JSON, and as a table for spreadsheets.

Instants are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from jobstate.domain.output import OutputRow
from jobstate.ports.queries import OutputPage
from jobstate.wire.instants import milliseconds

Document = dict[str, Any]

MARK: Final = "\ufeff"
"""What a spreadsheet knows UTF-8 by."""
OURS: Final = ("timestamp", "operator_id")
"""The columns that come before those of the records."""
WHOLE: Final = "record"
"""The column of a record that is no object."""
_COMMANDS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a text begins with that a spreadsheet takes for a formula."""


def output_document(page: OutputPage, operator_id: str | None) -> Document:
    """Rows in the order of their emission.

    `operator_id` is the one that was asked for, or null; `total_records` were emitted in all, `retained` are kept.
    """
    return {
        "data": [
            {"timestamp": milliseconds(row.time), "operator_id": row.operator_id, "record": row.record} for row in page
        ],
        "operator_id": operator_id,
        "total_records": page.total,
        "retained": page.retained,
        "has_more": page.has_more,
    }


def output_csv(rows: Iterable[OutputRow]) -> str:
    """Rows as comma separated values (RFC 4180), with a line of titles and `MARK` before it.

    The columns are `timestamp`, `operator_id` and every key of the records, in the order in which they first appear; a
    key that is called like one of those two is prefixed with `record.`. A record that is no object stands in the column
    `record`. What is no text or number is told as JSON, a missing value is empty. A text that a spreadsheet would take
    for a formula begins with `'`.
    """
    records = [(row, fields_of(row.record)) for row in rows]
    keys = list(dict.fromkeys(key for _, fields in records for key in fields))
    told = io.StringIO()
    told.write(MARK)
    table = csv.writer(told, lineterminator="\r\n")
    table.writerow([_defused(title) for title in (*OURS, *titles_of(keys))])
    for row, fields in records:
        values = [_cell(fields[key]) if key in fields else "" for key in keys]
        table.writerow([milliseconds(row.time), _defused(row.operator_id), *values])
    return told.getvalue()


def fields_of(record: Any) -> Mapping[str, Any]:
    """The fields of a record; one that is no object is a field by itself."""
    return record if isinstance(record, Mapping) else {WHOLE: record}


def titles_of(keys: Iterable[str]) -> list[str]:
    """The titles of the columns of these keys: no two are alike, and none is like one of ours."""
    taken, titles = set(OURS), []
    for key in keys:
        title = key
        while title in taken:
            title = f"{WHOLE}.{title}"
        taken.add(title)
        titles.append(title)
    return titles


def text_of(value: Any) -> str:
    """A value of a record as text in one cell; what is no text is told as JSON, and null as nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cell(value: Any) -> str:
    return _defused(value) if isinstance(value, str) else text_of(value)


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(_COMMANDS) else text
