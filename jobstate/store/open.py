"""`jobstate.open`: makes a repository of its target, and a `JobStore` on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, Literal

from jobstate.core.arguments import Duration
from jobstate.core.context import Context
from jobstate.domain import validation
from jobstate.domain.checkpoints import KEEP_CHECKPOINTS
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.event import Actor
from jobstate.domain.logs import KEEP_LOGS
from jobstate.domain.output import KEEP_OUTPUT
from jobstate.domain.report import Bounds
from jobstate.domain.stop import DEFAULT_STOP_TIMEOUT
from jobstate.observers.observer import Observer
from jobstate.ports import conformance
from jobstate.ports.repository import Repository
from jobstate.storage.connections import Timing
from jobstate.storage.durability import checked_durability
from jobstate.storage.open import EMBEDDED_PREFIX, open_file, open_within
from jobstate.store.job_store import JobStore
from jobstate.system import Clock, SystemClock, chance, user

_DEFAULT_TIMEOUT: Final = 10.0
_MACHINE: Final = SystemClock()
"""Waiting for other writers takes real time, also where the clock of the store is advanced by hand."""


def open(  # noqa: A001  (it is `jobstate.open`)
    target: Any = "jobstate.db",
    *,
    durability: Literal["full", "normal"] = "full",
    actor: str | None = None,
    clock: Clock | None = None,
    create: bool = True,
    timeout: Duration = _DEFAULT_TIMEOUT,
    stop_timeout: Duration = DEFAULT_STOP_TIMEOUT,
    table_prefix: str = EMBEDDED_PREFIX,
    descriptor_limit: int = validation.DEFAULT_DESCRIPTOR_LIMIT,
    keep_checkpoints: int = KEEP_CHECKPOINTS,
    keep_logs: int = KEEP_LOGS,
    keep_output: int = KEEP_OUTPUT,
    observers: Sequence[Observer] = (),
) -> JobStore:
    """Open a store.

    Args:
        target: A path; `:memory:` for a store that lives as long as it is open; a peewee `SqliteDatabase` of the
            caller's own: its tables then include the jobs, and its write transactions the changes of jobs; or a
            `jobstate.ports.repository.Repository` of the caller's own, which is closed with the `JobStore` and takes
            none of `durability`, `create`, `timeout`, `table_prefix` and `observers`.
        durability: `full`: a change is on disk when its call returns, and survives a power cut. `normal`: it
            survives the death of any process; a power cut may undo the last moments. A file has the durability of its
            creator: opened with `normal`, one of durability `full` is written at `full` all the same, and
            `migrate` lowers it. A caller's own database keeps its own.
        actor: Who acts, for the history, unless a call names another; default `python:USER`.
        clock: The source of time; default this machine.
        create: Create a missing file.
        timeout: How long to wait for other writers before `StoreBusy`.
        stop_timeout: How long a stop may take, unless the call names another.
        table_prefix: The prefix of the table names in a caller's own database.
        descriptor_limit: The largest descriptor and checkpoint state, in bytes of JSON.
        keep_checkpoints: How many completed checkpoints of a job to keep, >= 1.
        keep_logs: How many log entries of a job to keep, >= 1, the newest; beyond those, 1,000 warnings and errors. Up
            to a tenth more may be there for a while.
        keep_output: How many rows of output to keep of each operator of a job, >= 1, the newest; likewise.
        observers: Receive what this process does to jobs; see `Observer`.

    Raises:
        InvalidRequest: An argument is not as described, or a repository of the caller's own lacks a method.
        StoreUnavailable: The file or its folder is missing or cannot be opened.
        StoreCorrupt: The file is damaged, or is not a database.
        SchemaMismatch: The file was written by a newer jobstate or another build of it, differs from what its version
            says, needs an upgrade while workers of an older jobstate use it, or belongs to another program.
        UnsupportedSQLite: The SQLite of this Python is older than 3.37.
    """
    patience = validation.seconds_of("timeout", timeout)
    limit = validation.integer("descriptor_limit", descriptor_limit, 2, 256 * 1024 * 1024)
    kept = validation.integer("keep_checkpoints", keep_checkpoints, 1, 1_000_000)
    bounds = Bounds(
        logs=validation.integer("keep_logs", keep_logs, 1, 10_000_000),
        output=validation.integer("keep_output", keep_output, 1, 100_000),
    )
    by = Actor(f"python:{user()}" if actor is None else validation.text("actor", actor))
    stop_timeout_us = validation.duration_us("stop_timeout", stop_timeout)
    if isinstance(target, str) and target.startswith(("postgresql:", "postgres:")):
        raise InvalidRequest("target", "PostgreSQL is not supported by this version; name a file")
    dispatcher = None
    if observers:
        from jobstate.observers.dispatcher import Dispatcher

        dispatcher = Dispatcher(observers)
    timing = Timing(_MACHINE.monotonic, _MACHINE.sleep, chance)
    used = SystemClock() if clock is None else clock
    repository: Repository
    if isinstance(target, str | os.PathLike):
        repository = open_file(
            target,
            durability=durability,
            create=create,
            timeout=patience,
            timing=timing,
            now=used.now(),
            dispatcher=dispatcher,
        )
    elif conformance.looks_like_repository(target):
        repository = conformance.checked(target)
        for option, given, default in (
            ("durability", durability, "full"),
            ("create", create, True),
            ("timeout", patience, _DEFAULT_TIMEOUT),
            ("table_prefix", table_prefix, EMBEDDED_PREFIX),
            ("observers", tuple(observers), ()),
        ):
            if given != default:
                raise InvalidRequest(option, "is for the stores that jobstate makes; leave it out, and set up your own")
    else:
        repository = open_within(
            target, prefix=table_prefix, timeout=patience, timing=timing, now=used.now(), dispatcher=dispatcher
        )
    context = Context(repository, used, chance, _MACHINE.sleep, limit, stop_timeout_us, kept, bounds, dispatcher)
    return JobStore(context, by)


def migrate(path: str | os.PathLike[str], *, durability: Literal["full", "normal"] | None = None) -> str:
    """Create the file or bring its schema up to date, also while workers of an older jobstate use it, which then fail.

    Args:
        path: The file.
        durability: Which durability the file has from now on; None leaves it, and creates a file of durability `full`.
            A store that is open keeps the one that it was opened with.

    Returns:
        The durability of the file.

    Raises:
        InvalidRequest: `durability` is not as described.
        SchemaMismatch: As `open`, but for those workers.
    """
    if durability is not None:
        checked_durability(durability)
    repository = open_file(
        path,
        durability="full",
        create=True,
        timeout=_DEFAULT_TIMEOUT,
        timing=Timing(_MACHINE.monotonic, _MACHINE.sleep, chance),
        now=_MACHINE.now(),
        despite_workers=True,
    )
    try:
        if durability is not None:
            repository.set_durability(durability)
        return repository.durability()
    finally:
        repository.close()
