"""What the suite is told of the stores that it runs against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jobstate.store.store import JobStore

Target = Any
"""What `jobstate.open` takes: a store of your own, a path, or a peewee database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """A kind of store. What it cannot do is said with None, and the tests of that are then skipped, with this reason.

    Attributes:
        make: Called for every store that a test wants; each is empty, and apart from all others.
        again: Given what `make` returned, the same store once more, as another process would open it; None: it
            cannot be opened twice.
        from_backup: Given the path that a backup was written to, a store that holds it; None: it makes no backups.
        options: Further options of `jobstate.open`.
    """

    make: Callable[[], Target]
    again: Callable[[Target], Target] | None
    from_backup: Callable[[Path], Target] | None
    options: Mapping[str, Any] = field(default_factory=dict)


class OpenStore(Protocol):
    """Opens one more store of the kind under test, empty and apart from the others."""

    def __call__(self, **options: Any) -> JobStore:
        """Takes the options of `jobstate.open`; the clock is turned by hand unless another one is given."""


class OpenTwice(Protocol):
    """Opens one store of the kind under test two times."""

    def __call__(self, **options: Any) -> tuple[JobStore, JobStore]:
        """The two are equal; options as those of `OpenStore`."""
