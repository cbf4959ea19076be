"""What the fuzzer of the API leaves out, and why."""

from __future__ import annotations

from typing import Any

import schemathesis

from jobstate.domain.retry import DEFAULT_RETRY
from jobstate.wire.formats import parse_labels


def _printable(value: Any) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, list):
        return all(map(_printable, value))
    if isinstance(value, dict):
        return all(_printable(part) for pair in value.items() for part in pair)
    return True


def _grows(body: Any) -> bool:
    retry = body.get("retry") if isinstance(body, dict) else None
    if not isinstance(retry, dict):
        return True
    initial, cap = (retry.get(name, getattr(DEFAULT_RETRY, name)) for name in ("initial", "cap"))
    return not (isinstance(initial, int | float) and isinstance(cap, int | float)) or initial <= cap


@schemathesis.hook
def filter_body(_context: Any, body: Any) -> bool:
    """No pattern says which characters are printable; tests/unit holds the rule itself."""
    return _printable(body)


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """No schema says that `initial` is at most `cap`; `test_a_submission_refuses_what_it_cannot_mean` holds it."""
    return _grows(case.body)


@schemathesis.hook
def filter_query(_context: Any, query: dict[str, Any]) -> bool:
    """The same for names, and for labels behind their backslashes."""
    if not _printable(query or {}):
        return False
    try:
        return _printable(parse_labels("label", str((query or {}).get("label", "a=b"))))
    except ValueError:
        return True
