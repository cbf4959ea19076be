"""The commands on jobs in the queue: list, inspect, submit, schedule, rm."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import click

import jobstate
from jobstate.cli.options import JOB_ID, REASON, Words, labels_option, limit_option
from jobstate.cli.session import Session, command
from jobstate.cli.view import jobs as view
from jobstate.cli.view.text import terminal_width
from jobstate.cli.view.units import now
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from jobstate.wire import documents
from jobstate.wire.formats import parse_duration, parse_instant
from jobstate.wire.states import Dialect, filter_words, selected

_AMPCTL = Dialect.AMPCTL
_RETRY_FIELDS: Final = tuple(DEFAULT_RETRY.to_json())
_RETRY_NUMBERS: Final = ("factor", "jitter")
_STATUS = Words(partial(filter_words, _AMPCTL))


@click.command("list")
@limit_option("jobs")
@click.option("-a", "--after", type=JOB_ID, help="Show only jobs after this id, the cursor of the previous page.")
@click.option(
    "-s",
    "--status",
    default="active",
    show_default=True,
    type=_STATUS,
    help="active, all, terminal, or states separated by commas.",
)
@click.option("--node", help="Show only jobs that this worker holds or that are pinned to it.")
@click.option("--kind", help="Show only jobs of this kind.")
@click.option("--pipeline", "pipeline_id", help="Show only runs of this pipeline.")
@labels_option("Show only jobs with this label; repeatable.")
@command
def list_jobs(
    session: Session,
    limit: int,
    after: int | None,
    status: str,
    node: str | None,
    kind: str | None,
    pipeline_id: str | None,
    labels: Mapping[str, str],
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
            labels=dict(labels),
        )

    def show() -> None:
        if not page.jobs:
            hint = "" if status == "all" else "; `--status all` also shows jobs that have ended"
            click.echo(f"no jobs match{hint}", err=True)
            return
        click.echo("\n".join(view.job_table(page.jobs, now(), terminal_width())))
        if page.next_cursor is not None:
            click.echo(f"more: --after {page.next_cursor}", err=not sys.stdout.isatty())

    session.answer(documents.page_document(page.jobs, page.next_cursor, _AMPCTL), show)


@click.command("inspect")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@command
def inspect_job(session: Session, job_id: int) -> None:
    """Show everything about one job; as JSON when piped."""
    with session.open() as store:
        job = store.get(job_id)
    replace(session, as_json=session.as_json or not sys.stdout.isatty()).answer(
        documents.job_document(job, _AMPCTL),
        lambda: click.echo("\n".join(view.job_details(job, now(), terminal_width()))),
    )


@click.command("submit")
@click.argument("kind")
@click.argument("descriptor", required=False, metavar="[DESCRIPTOR]")
@click.option("--node", default="", help="Only this worker may claim the job.")
@click.option("--key", help="Unique among live jobs: submitting it again returns the live job.")
@click.option("--pipeline", "pipeline_id", help="The pipeline that the job is a run of.")
@labels_option("A label; repeatable.")
@click.option("--priority", default=0, show_default=True, help="Jobs with a lower number are claimed first.")
@click.option("--available-at", metavar="TIME", help="No worker claims the job earlier: ISO 8601 with a zone.")
@click.option("--hold", is_flag=True, help="Keep the job out of the queue until `jobstate schedule`.")
@click.option("--parallelism", default=1, show_default=True, help="The number of tasks to run the job with.")
@click.option(
    "--max-attempts",
    default=DEFAULT_MAX_ATTEMPTS,
    show_default=True,
    help="The job fails for good when so many runs have failed.",
)
@click.option(
    "--retry",
    multiple=True,
    metavar="FIELD=VALUE",
    help=f"When to retry, such as initial=5s; FIELD is one of {', '.join(_RETRY_FIELDS)}; repeatable.",
)
@REASON
@command
def submit(
    session: Session,
    kind: str,
    descriptor: str | None,
    node: str,
    labels: Mapping[str, str],
    available_at: str | None,
    retry: tuple[str, ...],
    **fields: Any,
) -> None:
    """Add a job of a KIND to the queue and print its id.

    DESCRIPTOR is a JSON object that describes the job's work; `-` reads it from standard input.
    """
    with session.open(create=True) as store:
        job = store.submit(
            kind,
            _descriptor(descriptor),
            node_id=node,
            labels=dict(labels),
            available_at=_instant(available_at),
            retry=_retry(retry),
            **fields,
        )
    document = {**documents.job_document(job, _AMPCTL), "deduplicated": job.deduplicated}
    session.answer(document, lambda: click.echo(job.id))
    if job.deduplicated:
        click.echo(f"live job {job.id} has that key already; nothing was added", err=True)


@click.command("schedule")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@REASON
@command
def schedule(session: Session, job_id: int, reason: str | None) -> None:
    """Move a held job into the queue."""
    with session.open() as store:
        job = store.schedule(job_id, reason=reason)
    session.answer(documents.job_document(job, _AMPCTL), lambda: click.echo(f"job {job.id} is {job.state}"))


@click.command("rm")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, type=JOB_ID)
@REASON
@command
def remove(session: Session, job_ids: tuple[int, ...], reason: str | None) -> None:
    """Remove jobs that have ended.

    A job that does not exist counts as removed; a live job is an error.
    """
    with session.open() as store:

        def act(job_id: int) -> tuple[Any, str]:
            removed = store.delete(job_id, reason=reason)
            return {"id": job_id, "removed": removed}, f"job {job_id}: {'removed' if removed else 'does not exist'}"

        session.each(job_ids, act)


def _descriptor(text: str | None) -> Any:
    if text is None:
        return None
    document = sys.stdin.read() if text == "-" else text
    try:
        return json.loads(document)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="DESCRIPTOR") from error


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant("available_at", text)
    except jobstate.InvalidRequest as error:
        raise click.BadParameter(error.problem, param_hint="--available-at") from error


def _retry(pairs: tuple[str, ...]) -> RetryPolicy:
    """`FIELD=VALUE` options as a policy."""
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in _RETRY_FIELDS:
            raise click.BadParameter(
                f"{pair!r} is not FIELD=VALUE with a FIELD of {', '.join(_RETRY_FIELDS)}", param_hint="--retry"
            )
        try:
            if name == "fatal":
                fields[name] = (*fields.get(name, ()), value)
            else:
                fields[name] = float(value) if name in _RETRY_NUMBERS else parse_duration(f"retry.{name}", value)
        except jobstate.InvalidRequest as error:
            raise click.BadParameter(f"{name} {error.problem}", param_hint="--retry") from error
        except ValueError as error:
            raise click.BadParameter(f"{name} must be a number, not {value!r}", param_hint="--retry") from error
    return RetryPolicy(**fields) if fields else DEFAULT_RETRY
