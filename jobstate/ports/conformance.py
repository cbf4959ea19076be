"""Checks that an object which a caller brings has every method of `jobstate.ports.repository.Repository`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_type_hints

from jobstate.domain.errors import InvalidRequest
from jobstate.ports.repository import Repository


@cache
def parts() -> dict[str, type]:
    """The parts of a store by name, with the protocol of each."""
    properties = {name: member for name, member in vars(Repository).items() if isinstance(member, property)}
    return {name: get_type_hints(member.fget)["return"] for name, member in properties.items() if name != "path"}


def methods_of(protocol: type) -> list[str]:
    """The names of the methods of a protocol."""
    return [name for name, member in vars(protocol).items() if callable(member) and not name.startswith("_")]


def looks_like_repository(target: object) -> bool:
    """Whether the object has any part of a store; a path or a peewee database has none."""
    return any(hasattr(target, part) for part in parts())


def checked(target: Any) -> Repository:
    """The object itself; InvalidRequest names the methods that it lacks."""
    missing = list(_missing(target))
    if missing:
        named = ", ".join(missing)
        raise InvalidRequest(
            "target", f"is a store without {named}; jobstate.ports.repository.Repository says what they do"
        )
    found: Repository = target
    return found


def _missing(target: object) -> Iterator[str]:
    if not hasattr(target, "path"):
        yield "path"
    yield from (name for name in methods_of(Repository) if not callable(getattr(target, name, None)))
    for part, protocol in parts().items():
        if not hasattr(target, part):
            yield part
            continue
        found = getattr(target, part)
        yield from (f"{part}.{name}" for name in methods_of(protocol) if not callable(getattr(found, name, None)))
