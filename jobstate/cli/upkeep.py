"""Commands of upkeep: sweep, audit, doctor, backup, migrate."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from jobstate.cli import render
from jobstate.cli.bars import counting
from jobstate.cli.session import REFUSED, Session, file_command
from jobstate.domain.job import Job
from jobstate.wire import amp
from jobstate.wire.vocabulary import Dialect

_AMPCTL = Dialect.AMPCTL


@click.command("sweep")
@file_command
def sweep(session: Session) -> None:
    """Settle what is overdue: lost leases, stops past their deadline, stops that wait for nobody."""
    with session.open_file() as store:
        settled: list[Job] = []
        while some := store.sweep():
            settled += some

    def say() -> None:
        for job in settled:
            click.echo(f"job {job.id}: {job.state}")
        click.echo(f"{len(settled):,} settled", err=True)

    session.answer({"settled": [amp.job_document(job, _AMPCTL) for job in settled]}, say)


@click.command("audit")
@file_command
def audit(session: Session) -> None:
    """Hold every job against its history, and the file against its invariants; exit code 1 when something is wrong."""
    with session.open_file() as store, counting("auditing") as told:
        report = store.audit(progress=told)

    def say() -> None:
        for finding in report.findings:
            click.echo(str(finding))
        verdict = "nothing is wrong" if report.ok else f"{len(report.findings):,} findings"
        click.echo(f"{report.jobs:,} jobs, {report.events:,} events: {verdict}")

    session.answer(amp.audit_document(report), say)
    if not report.ok:
        raise click.exceptions.Exit(REFUSED)


@click.command("doctor")
@file_command
def doctor(session: Session) -> None:
    """Check the file, its guards, stuck jobs, leases, workers, log and clock; say the fix for what is wrong."""
    from jobstate.doctor import examine

    with session.open_file() as store:
        checks = examine(store)
    ok = all(check.ok for check in checks)

    def say() -> None:
        out = render.console()
        for check in checks:
            mark = Text("ok   ", style="green") if check.ok else Text("WRONG", style="bold red")
            out.print(mark, Text(f"{check.name}: {check.told}"), soft_wrap=True)
            if check.fix:
                out.print(Text(f"      fix: {check.fix}"), soft_wrap=True)

    told = [{"name": c.name, "ok": c.ok, "told": c.told, "fix": c.fix} for c in checks]
    session.answer({"ok": ok, "checks": told}, say)
    if not ok:
        raise click.exceptions.Exit(REFUSED)


@click.command("backup")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@file_command
def backup(session: Session, path: Path) -> None:
    """Copy the store to PATH while it is in use; PATH must not exist yet."""
    with session.open_file() as store, counting("copying") as told:
        store.backup(path, progress=told)
    size = path.stat().st_size
    session.answer({"path": str(path), "bytes": size}, lambda: click.echo(f"{path}: {size:,} bytes"))


@click.command("migrate")
@file_command
def migrate(session: Session) -> None:
    """Make the store, or bring its schema up to date. (Every command does so; this one does nothing else.)"""
    with session.open_file(create=True) as store:
        path, version = store.path, store.schema_version
    session.answer({"path": path, "schema_version": version}, lambda: click.echo(f"{path}: schema version {version}"))
