"""The command that runs jobs: worker."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from jobstate.cli.options import DURATION
from jobstate.cli.session import Session, file_command
from jobstate.core.context import DEFAULT_LEASE
from jobstate.store.job_store import JobStore
from jobstate.system import host, pid
from jobstate.worker.handlers import is_awaited


@click.command("worker")
@click.argument("handlers", metavar="MODULE:HANDLERS")
@click.option("--node", help="The name of the worker.  [default: HOST-PID]")
@click.option(
    "--concurrency", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many jobs run at a time."
)
@click.option(
    "--lease",
    default=f"{DEFAULT_LEASE:g}s",
    show_default=True,
    type=DURATION,
    help="How long the jobs of a worker that died stay with it.",
)
@click.option("--until-idle", is_flag=True, help="End when no job is left to run.")
@file_command
def worker(
    session: Session, handlers: str, node: str | None, concurrency: int, lease: float, *, until_idle: bool
) -> None:
    """Run jobs until SIGINT or SIGTERM, then release the rest.

    MODULE:HANDLERS names a dict in a module that maps kinds of jobs to functions. The worker calls a function with the
    run of a job; an `async def` among them runs on an event loop. Modules in the current folder are found too.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    by_kind = _handlers(handlers)
    with session.open_file(create=True) as store:
        name = node or f"{host()}-{pid()}"
        click.echo(f"worker {name} runs {', '.join(sorted(by_kind))} from {store.path}", err=True)
        if any(map(is_awaited, by_kind.values())):
            _serve_on_loop(store, name, by_kind, concurrency, lease, until_idle=until_idle)
        else:
            store.worker(name, lease=lease, until_idle=until_idle).serve(by_kind, concurrency)


def _serve_on_loop(
    store: JobStore, name: str, handlers: Mapping[str, Any], concurrency: int, lease: float, *, until_idle: bool
) -> None:
    import asyncio

    from jobstate import aio

    async def serve() -> None:
        async with aio.over(store) as jobs:
            await jobs.worker(name, lease=lease, until_idle=until_idle).serve(handlers, concurrency)

    asyncio.run(serve())


def _handlers(name: str) -> Mapping[str, Any]:
    module, colon, attribute = name.partition(":")
    if not module or not colon or not attribute:
        raise click.BadParameter(
            f"{name!r} is not MODULE:HANDLERS, such as tasks:HANDLERS", param_hint="MODULE:HANDLERS"
        )
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise click.BadParameter(f"there is no module {error.name!r}", param_hint="MODULE:HANDLERS") from error
    except AttributeError as error:
        raise click.BadParameter(str(error), param_hint="MODULE:HANDLERS") from error
    if not isinstance(found, Mapping) or not found or not all(callable(handler) for handler in found.values()):
        raise click.BadParameter(f"{name} is not a dict from kinds to functions", param_hint="MODULE:HANDLERS")
    return found
