"""How a project describes its store to the suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jobstate.store.job_store import JobStore

Target = Any
"""What `jobstate.open` takes: a store of your own, a path, or a peewee database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """A kind of store. None declares what it cannot do: the suite skips the tests of that, with this reason.

    Attributes:
        make: Returns a new, empty store; the suite calls it for each store of a test.
        again: Opens the store that `make` returned a second time, as another process would; None: it cannot be opened
            twice.
        from_backup: Opens the backup at this path; None: the store makes no backups.
        options: Further options of `jobstate.open`.
    """

    make: Callable[[], Target]
    again: Callable[[Target], Target] | None
    from_backup: Callable[[Path], Target] | None
    options: Mapping[str, Any] = field(default_factory=dict)


class OpenStore(Protocol):
    """Opens a new, empty store of the kind under test."""

    def __call__(self, **options: Any) -> JobStore:
        """Takes the options of `jobstate.open`; default `clock`: a manual one."""


class OpenTwice(Protocol):
    """Opens one store of the kind under test twice."""

    def __call__(self, **options: Any) -> tuple[JobStore, JobStore]:
        """Both have the same content; options as for `OpenStore`."""
