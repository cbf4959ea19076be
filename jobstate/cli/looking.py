"""Commands that look: list, inspect, progress, events."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import click

import jobstate
from jobstate.cli import render, text
from jobstate.cli.bars import TableBars
from jobstate.cli.parameters import JOB_ID, Words
from jobstate.cli.session import Session, command
from jobstate.wire import documents
from jobstate.wire.states import Dialect, filter_words, selected

_AMPCTL = Dialect.AMPCTL
_STATUS = Words(partial(filter_words, _AMPCTL))
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
    "-s",
    "--status",
    default="active",
    show_default=True,
    type=_STATUS,
    help="active, all, terminal, or states with commas.",
)
@click.option("--node", help="Only jobs that this worker holds or that are pinned to it.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--pipeline", "pipeline_id", help="Only runs of this pipeline.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only jobs with this label; repeatable.")
@command
def list_jobs(
    session: Session,
    limit: int,
    after: int | None,
    status: str,
    node: str | None,
    kind: str | None,
    pipeline_id: str | None,
    labels: tuple[str, ...],
) -> None:
    """Show jobs, newest first."""
    with session.open() as store:
        page = store.list(
            selected(status, _AMPCTL),
            limit=limit,
            after=after,
            node_id=node,
            kind=kind,
            pipeline_id=pipeline_id,
            labels=labels_of(labels),
        )

    def say() -> None:
        if not page.jobs:
            hint = "" if status == "all" else "; `--status all` shows those that have ended too"
            click.echo(f"no jobs match{hint}", err=True)
            return
        click.echo("\n".join(render.job_grid(page.jobs, render.now(), text.columns())))
        if page.next_cursor is not None:
            click.echo(f"more: --after {page.next_cursor}", err=not sys.stdout.isatty())

    session.answer(documents.page_document(page.jobs, page.next_cursor, _AMPCTL), say)


@click.command("inspect")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@command
def inspect_job(session: Session, job_id: int) -> None:
    """Show everything about one job; as JSON when it is piped."""
    with session.open() as store:
        job = store.get(job_id)
    replace(session, as_json=session.as_json or not sys.stdout.isatty()).answer(
        documents.job_document(job, _AMPCTL),
        lambda: click.echo("\n".join(render.job_details(job, render.now(), text.columns()))),
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
    session.answer(
        documents.progress_document(job, tables, _AMPCTL),
        lambda: click.echo("\n".join(render.progress_lines(job, tables, text.columns()))),
    )


@click.command("events")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@command
def show_events(session: Session, job_id: int) -> None:
    """Show the history of a job: what happened, who did it, why."""
    with session.open() as store:
        events = store.events(job_id)
    document = {"job_id": job_id, "events": [documents.event_document(event) for event in events]}
    session.answer(document, lambda: click.echo("\n".join(render.event_line(e, of_one_job=True) for e in events)))


def _follow(session: Session, store: jobstate.JobStore | jobstate.JobClient, job_id: int) -> None:
    """Until the job ends: live bars on a terminal, a line a change elsewhere."""
    on_terminal = sys.stdout.isatty() and not session.as_json
    last: Any = None
    bars = TableBars() if on_terminal else None
    with nullcontext() if bars is None else bars.drawn():
        while True:
            job, tables = store.get(job_id), store.progress(job_id)
            if (job.state, tables) != last:
                last = (job.state, tables)
                if bars is None:
                    session.line(documents.progress_document(job, tables, _AMPCTL), render.progress_line(job, tables))
                else:
                    bars.show(job, tables)
            if job.is_terminal:
                break
            time.sleep(_FOLLOW_EVERY)
    if on_terminal:
        click.echo(next(render.progress_lines(job, tables, text.columns())))
