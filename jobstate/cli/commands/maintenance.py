"""The commands that maintain a store: sweep, audit, doctor, backup, migrate, prune."""

from __future__ import annotations

import os
from typing import Literal, cast

import click

from jobstate.cli.options import AGE, REASON, Words
from jobstate.cli.session import REFUSED, Session, command, file_command
from jobstate.cli.view.bars import progress_bar
from jobstate.cli.view.jobs import outcome
from jobstate.cli.view.text import hanging, plural, printable, styled, terminal_width
from jobstate.core.arguments import PruneFilter
from jobstate.domain.job import Job
from jobstate.domain.operator_actions import PRUNE_WORDS
from jobstate.wire import documents
from jobstate.wire.states import Dialect

_AMPCTL = Dialect.AMPCTL


@click.command("sweep")
@file_command
def sweep(session: Session) -> None:
    """Settle expired leases and stops past their deadline."""
    with session.open_file() as store:
        settled: list[Job] = []
        while batch := store.sweep():
            settled += batch

    def show() -> None:
        for job in settled:
            click.echo(outcome(job))
        click.echo(f"{plural(len(settled), 'job')} settled" if settled else "nothing is overdue", err=True)

    session.answer({"settled": [documents.job_document(job, _AMPCTL) for job in settled]}, show)


@click.command("audit")
@file_command
def audit(session: Session) -> None:
    """Compare every job with its history, and check the whole file.

    Ends with exit code 1 when it finds something.
    """
    with session.open_file() as store, progress_bar("auditing") as report_progress:
        report = store.audit(progress=report_progress)

    def show() -> None:
        for finding in report.findings:
            click.echo(printable(str(finding)))
        verdict = "nothing is wrong" if report.ok else plural(len(report.findings), "finding")
        click.echo(f"{plural(report.jobs, 'job')}, {plural(report.events, 'event')}: {verdict}")
        if not report.ok:
            click.echo("`jobstate doctor` names the fix; first keep a copy: `jobstate backup PATH`", err=True)

    session.answer(documents.audit_document(report), show)
    if not report.ok:
        raise click.exceptions.Exit(REFUSED)


@click.command("doctor")
@file_command
def doctor(session: Session) -> None:
    """Check a store for problems, and name the fix for each.

    Checks the file, its guards, stuck jobs, leases, workers, the log and the clock. Ends with exit code 1 when
    something is wrong.
    """
    from jobstate.store.doctor import examine

    with session.open_file() as store:
        checks = examine(store)
    ok = all(check.ok for check in checks)

    def show() -> None:
        for check in checks:
            mark, style = ("ok   ", "green") if check.ok else ("WRONG", "bold red")
            line = hanging(f"{mark} ", f"{check.name}: {check.result}", terminal_width())
            click.echo(line.replace(mark, styled(mark, style), 1))
            if check.fix:
                click.echo(hanging("      fix: ", check.fix, terminal_width()))

    documents = [{"name": c.name, "ok": c.ok, "result": c.result, "fix": c.fix} for c in checks]
    session.answer({"ok": ok, "checks": documents}, show)
    if not ok:
        raise click.exceptions.Exit(REFUSED)


@click.command("backup")
@click.argument("path", type=click.Path(dir_okay=False))
@file_command
def backup(session: Session, path: str) -> None:
    """Copy the store to PATH while it is in use.

    PATH must not exist yet.
    """
    with session.open_file() as store, progress_bar("copying") as report_progress:
        store.backup(path, progress=report_progress)
    size = os.path.getsize(path)
    session.answer({"path": path, "bytes": size}, lambda: click.echo(f"{path}: {size:,} bytes"))


@click.command("migrate")
@click.option(
    "--durability",
    type=click.Choice(["full", "normal"]),
    help="From now on a power cut takes back nothing (full), or the last moments (normal); open stores keep theirs.",
)
@file_command
def migrate(session: Session, durability: Literal["full", "normal"] | None) -> None:
    """Create the store, or bring its schema up to date.

    Every command that opens the file does so too, but not while workers of an older jobstate use the store. This one
    does, and those workers fail.
    """
    from jobstate.store.open import migrate as migrate_file

    kept = migrate_file(session.db, durability=durability)
    with session.open_file(create=True) as store:
        path, version = store.path, store.schema_version
    answer = {"path": path, "schema_version": version, "durability": kept}
    session.answer(answer, lambda: click.echo(f"{path}: schema version {version}, durability {kept}"))


@click.command("prune")
@click.option(
    "-s",
    "--status",
    default="terminal",
    show_default=True,
    type=Words(lambda: PRUNE_WORDS),
    help="Which of them: terminal (all), completed, stopped or error (failed).",
)
@click.option("--older-than", type=AGE, metavar="AGE", help="Only jobs that ended so long ago, such as 7d.")
@click.option("--dry-run", is_flag=True, help="Remove nothing, only print how many would be.")
@REASON
@command
def prune(session: Session, status: str, older_than: float | None, reason: str | None, *, dry_run: bool) -> None:
    """Remove all jobs that have ended, or some of them."""
    with session.open() as store, progress_bar("pruning") as report_progress:
        removed = store.prune(
            cast("PruneFilter", status), older_than=older_than, dry_run=dry_run, reason=reason, progress=report_progress
        )
    sentence = f"{plural(removed, 'job')} {'would be ' if dry_run else ''}removed"
    session.answer({"deleted": removed, "dry_run": dry_run}, lambda: click.echo(sentence))
