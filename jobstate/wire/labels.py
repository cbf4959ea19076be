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
            labels[_named(field, name, text)] = part
            name, part = "", ""
        else:
            part += character
    labels[_named(field, name, text)] = part
    return labels


def _guarded(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", text)


def _named(field: str, name: str, text: str) -> str:
    if not name:
        raise InvalidRequest(field, f"must be NAME=VALUE, with commas between several, not {text!r}")
    return name


def _characters(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it is there by itself, not behind a backslash."""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            yield next(characters, character), False
        else:
            yield character, True
