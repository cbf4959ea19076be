r"""Labels as one text, for a query: `NAME=VALUE,NAME=VALUE`; a backslash takes the next character as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from jobstate.domain.errors import InvalidRequest

PATTERN: Final = r"^(?:[^=,\\]|\\.)+=(?:[^,\\]|\\.)*(?:,(?:[^=,\\]|\\.)+=(?:[^,\\]|\\.)*)*$"
"""What `read` takes, as a regular expression."""

_MARKS: Final = re.compile(r"[\\,=]")


def written(labels: Mapping[str, str]) -> str:
    """The labels as one text."""
    return ",".join(f"{_guarded(name)}={_guarded(value)}" for name, value in labels.items())


def read(field: str, text: str) -> dict[str, str]:
    """The labels that a text names."""
    labels: dict[str, str] = {}
    name, part = "", ""
    for character, plain in _characters(text):
        if plain and character == "=" and not name:
            name, part = part, ""
        elif plain and character == ",":
            _add(labels, field, name, part, text)
            name, part = "", ""
        else:
            part += character
    _add(labels, field, name, part, text)
    return labels


def _guarded(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", text)


def _add(labels: dict[str, str], field: str, name: str, value: str, text: str) -> None:
    if not name:
        raise InvalidRequest(field, f"must be NAME=VALUE, with commas between several, not {text!r}")
    if name in labels:
        raise InvalidRequest(field, f"names {name!r} more than once")
    labels[name] = value


def _characters(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it is there by itself, not behind a backslash."""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            yield next(characters, character), False
        else:
            yield character, True
