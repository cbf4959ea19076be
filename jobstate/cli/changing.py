"""Commands that change jobs: submit, schedule, stop, fail, rm, prune."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any, Final

import click

import jobstate
from jobstate.cli import render
from jobstate.cli.bars import counting
from jobstate.cli.looking import labels_of
from jobstate.cli.parameters import AGE, DURATION, JOB_ID, Words
from jobstate.cli.session import Session, command
from jobstate.cli.text import counted
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.operator_actions import PRUNE_WORDS
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from jobstate.wire import documents
from jobstate.wire.states import Dialect
from jobstate.wire.text import parse_duration, parse_instant

_AMPCTL = Dialect.AMPCTL
_RETRY_FIELDS: Final = tuple(DEFAULT_RETRY.to_json())
_RETRY_NUMBERS: Final = ("factor", "jitter")
_REASON = click.option("--reason", metavar="TEXT", help="Why, for the history.")


@click.command("submit")
@click.argument("kind")
@click.argument("descriptor", required=False, metavar="[DESCRIPTOR]")
@click.option("--node", default="", help="Only this worker may claim it.")
@click.option("--key", help="Unique among live jobs: submitted again, the live job is the answer.")
@click.option("--pipeline", "pipeline_id", help="The pipeline that this is a run of.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; repeatable.")
@click.option("--priority", default=0, show_default=True, help="Lower goes first.")
@click.option("--available-at", metavar="TIME", help="Not before this time, ISO 8601 with a zone.")
@click.option("--hold", is_flag=True, help="Keep it out of the queue until `jobstate schedule`.")
@click.option("--parallelism", default=1, show_default=True, help="How many tasks it is to run with.")
@click.option(
    "--max-attempts", default=DEFAULT_MAX_ATTEMPTS, show_default=True, help="How many charged runs there may be."
)
@click.option(
    "--retry",
    multiple=True,
    metavar="FIELD=VALUE",
    help=f"How long to wait between them, such as initial=5s; FIELD is one of {', '.join(_RETRY_FIELDS)}; repeatable.",
)
@_REASON
@command
def submit(
    session: Session,
    kind: str,
    descriptor: str | None,
    node: str,
    labels: tuple[str, ...],
    available_at: str | None,
    retry: tuple[str, ...],
    **fields: Any,
) -> None:
    """Add a job of a KIND to the queue and print its id.

    DESCRIPTOR is a JSON object that says what the job is to do; `-` reads it from standard input.
    """
    with session.open(create=True) as store:
        job = store.submit(
            kind,
            _descriptor(descriptor),
            node_id=node,
            labels=labels_of(labels),
            available_at=_instant(available_at),
            retry=_retry(retry),
            **fields,
        )
    document = {**documents.job_document(job, _AMPCTL), "deduplicated": job.deduplicated}
    session.answer(document, lambda: click.echo(job.id))
    if job.deduplicated:
        click.echo(f"job {job.id} is live with that key already; nothing was added", err=True)


@click.command("schedule")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@_REASON
@command
def schedule(session: Session, job_id: int, reason: str | None) -> None:
    """Let a held job into the queue."""
    with session.open() as store:
        job = store.schedule(job_id, reason=reason)
    session.answer(documents.job_document(job, _AMPCTL), lambda: click.echo(f"job {job.id} is {job.state}"))


@click.command("stop")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, type=JOB_ID)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in jobstate.StopMode]),
    default=jobstate.StopMode.CHECKPOINT.value,
    show_default=True,
    help="How hard: with a last checkpoint, without one, or at once.",
)
@click.option("--timeout", type=DURATION, help="How long the worker may take.  [default: 300s]")
@click.option("--wait", is_flag=True, help="Wait until the jobs have ended.")
@_REASON
@command
def stop(
    session: Session, job_ids: tuple[int, ...], mode: str, timeout: float | None, reason: str | None, *, wait: bool
) -> None:
    """Ask jobs to stop. A job that is stopping or has ended stays as it is; that is no error."""
    with session.open() as store:

        def act(job_id: int) -> tuple[Any, str]:
            result = store.stop(job_id, mode=mode, timeout=timeout, reason=reason)
            document = documents.stop_document(result, _AMPCTL)
            if wait and not result.job.is_terminal:
                job = store.wait(job_id)
                document.update(status=documents.job_document(job, _AMPCTL)["status"], state=job.state.value)
                return document, render.outcome(job)
            return document, _stopped(result)

        session.each(job_ids, act)


@click.command("fail")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--reason", required=True, metavar="TEXT", help="Why the job is given up.")
@command
def fail(session: Session, job_id: int, reason: str) -> None:
    """Fail a job for good, and fence the worker that has it."""
    with session.open() as store:
        job = store.fail(job_id, reason)
    session.answer(documents.job_document(job, _AMPCTL), lambda: click.echo(f"job {job.id} is {job.state}"))


@click.command("rm")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, type=JOB_ID)
@_REASON
@command
def remove(session: Session, job_ids: tuple[int, ...], reason: str | None) -> None:
    """Remove jobs that have ended. One that is absent is no error; a live one is."""
    with session.open() as store:

        def act(job_id: int) -> tuple[Any, str]:
            removed = store.delete(job_id, reason=reason)
            return {"id": job_id, "removed": removed}, f"job {job_id}: {'removed' if removed else 'was absent'}"

        session.each(job_ids, act)


@click.command("prune")
@click.option(
    "-s",
    "--status",
    default="terminal",
    show_default=True,
    type=Words(lambda: PRUNE_WORDS),
    help="terminal, completed, stopped or error (failed).",
)
@click.option("--older-than", type=AGE, metavar="AGE", help="Only jobs that ended so long ago, such as 7d.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@_REASON
@command
def prune(session: Session, status: str, older_than: float | None, reason: str | None, *, dry_run: bool) -> None:
    """Remove all jobs that have ended, or those of one sort."""
    with session.open() as store, counting("pruning") as told:
        removed = store.prune(status, older_than=older_than, dry_run=dry_run, reason=reason, progress=told)
    sentence = f"{counted(removed, 'job')} {'would be ' if dry_run else ''}removed"
    session.answer({"deleted": removed, "dry_run": dry_run}, lambda: click.echo(sentence))


def _descriptor(text: str | None) -> Any:
    if text is None:
        return None
    given = sys.stdin.read() if text == "-" else text
    try:
        return json.loads(given)
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
        except InvalidRequest as error:
            raise click.BadParameter(f"{name} {error.problem}", param_hint="--retry") from error
        except ValueError as error:
            raise click.BadParameter(f"{name} must be a number, not {value!r}", param_hint="--retry") from error
    return RetryPolicy(**fields) if fields else DEFAULT_RETRY


def _stopped(result: jobstate.StopResult) -> str:
    job = result.job
    if not result.changed:
        return f"job {job.id}: already {'ended, ' if job.is_terminal else ''}{job.state}"
    if job.is_terminal:
        return render.outcome(job)
    until = render.ago(result.expected_finish_time, render.now())
    return f"job {job.id}: {job.state}; stopped {until} at the latest"
