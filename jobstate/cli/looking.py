"""Commands that look: list, inspect, progress, events."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import click
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import jobstate
from jobstate.cli import render
from jobstate.cli.session import JOB_ID, Session, command
from jobstate.wire import amp
from jobstate.wire.vocabulary import Dialect, selected

_AMPCTL = Dialect.AMPCTL
_FOLLOW_EVERY = 0.2


def labels_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping."""
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--label")
        labels[name] = value
    return labels


@click.command("list")
@click.option("-l", "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Most jobs to show.")
@click.option("-a", "--after", type=JOB_ID, help="Go on behind this id, the cursor of the page before.")
@click.option(
    "-s", "--status", default="active", show_default=True, help="active, all, terminal, or states with commas."
)
@click.option("--node", help="Only jobs that this worker holds or that are pinned to it.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only jobs with this label; repeatable.")
@command
def list_jobs(
    session: Session,
    limit: int,
    after: int | None,
    status: str,
    node: str | None,
    kind: str | None,
    labels: tuple[str, ...],
) -> None:
    """Show jobs, newest first."""
    with session.open() as store:
        page = store.list(
            selected(status, _AMPCTL), limit=limit, after=after, node_id=node, kind=kind, labels=labels_of(labels)
        )

    def say() -> None:
        if not page.jobs:
            hint = "" if status == "all" else "; `--status all` shows those that have ended too"
            click.echo(f"no jobs match{hint}", err=True)
            return
        out = render.console()
        out.print(render.job_grid(page.jobs, render.now(), out.width))
        if page.next_cursor is not None:
            click.echo(f"more: --after {page.next_cursor}", err=not sys.stdout.isatty())

    session.answer(amp.page_document(page.jobs, page.next_cursor, _AMPCTL), say)


@click.command("inspect")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@command
def inspect_job(session: Session, job_id: int) -> None:
    """Show everything about one job; as JSON when the output is piped."""
    with session.open() as store:
        job = store.get(job_id)
    replace(session, as_json=session.as_json or not sys.stdout.isatty()).answer(
        amp.job_document(job, _AMPCTL), lambda: render.console().print(render.job_details(job, render.now()))
    )


@click.command("progress")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("-f", "--follow", is_flag=True, help="Show it live until the job ends; with --json, a line a change.")
@command
def show_progress(session: Session, job_id: int, *, follow: bool) -> None:
    """Show how far a job got, per table that it writes."""
    with session.open() as store:
        if follow:
            _follow(session, store, job_id)
            return
        job, tables = store.get(job_id), store.progress(job_id)

    def say() -> None:
        if tables:
            out = render.console()
            out.print(render.progress_grid(tables, out.width))
        else:
            click.echo(f"job {job.id} is {job.state} and has reported nothing yet", err=True)

    session.answer(amp.progress_document(job, tables, _AMPCTL), say)


@click.command("events")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@command
def show_events(session: Session, job_id: int) -> None:
    """Show the whole history of a job, oldest first: what happened, who did it, and why."""
    with session.open() as store:
        events = store.events(job_id)
    document = {"job_id": job_id, "events": [amp.event_document(event) for event in events]}
    session.answer(document, lambda: click.echo("\n".join(render.event_line(event) for event in events)))


def _follow(session: Session, store: jobstate.JobStore | jobstate.JobClient, job_id: int) -> None:
    """Until the job ends: live bars on a terminal, a line a change elsewhere."""
    on_terminal = render.console().is_terminal and not session.as_json
    last: Any = None
    with _Bars() if on_terminal else nullcontext() as bars:
        while True:
            job, tables = store.get(job_id), store.progress(job_id)
            if (job.state, tables) != last:
                last = (job.state, tables)
                document = amp.progress_document(job, tables, _AMPCTL)
                if bars is None:
                    told = ", ".join(
                        f"{name} {render.blocks(table)} in {table.files_count:,} files"
                        for name, table in tables.items()
                    )
                    session.line(document, f"{job.state}  {told}")
                else:
                    bars.show(job, tables)
            if job.is_terminal:
                return
            time.sleep(_FOLLOW_EVERY)


class _Bars:
    """A bar per table, as long as the block that the descriptor names as `end_block`, where it does."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn()
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: jobstate.Job, tables: dict[str, jobstate.TableProgress]) -> None:
        """The present state of all tables."""
        end = job.descriptor.get("end_block")
        rows = tables or {str(job.state): jobstate.TableProgress()}
        for name, table in rows.items():
            start, current = table.start_block, table.current_block
            total = end - start + 1 if isinstance(end, int) and start is not None and end >= start else None
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=total, told="")
            told = f"{render.blocks(table)}  {table.files_count:,} files  {decimal(table.total_size_bytes)}"
            done = 0 if current is None or start is None else current - start + 1
            self._progress.update(self._tasks[name], total=total, completed=done, told=told)
