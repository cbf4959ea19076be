"""A store with what the port names and nothing else, as of somebody else; one of ours does the work."""

from __future__ import annotations

import os
from typing import Any

import jobstate
from jobstate.ports import conformance
from jobstate.ports.repository import Repository


class Part:
    """A part of a store, with the methods of its protocol."""

    def __init__(self, protocol: type, inner: Any) -> None:
        for name in conformance.methods_of(protocol):
            setattr(self, name, getattr(inner, name))


class Ported(Part):
    """A whole store."""

    def __init__(self, inner: Repository) -> None:
        super().__init__(Repository, inner)
        self.path = inner.path
        for name, protocol in conformance.parts().items():
            setattr(self, name, Part(protocol, getattr(inner, name)))


def in_memory() -> Ported:
    """A new and empty one."""
    return Ported(jobstate.open(":memory:").repository)


def in_a_file(path: str | os.PathLike[str]) -> Ported:
    """One that is there after it was closed."""
    return Ported(jobstate.open(path, durability="normal").repository)
