"""Commands of upkeep: sweep, audit, doctor, backup, migrate."""

from __future__ import annotations

import os

import click

from jobstate.cli import render, text
from jobstate.cli.bars import counting
from jobstate.cli.session import REFUSED, Session, file_command
from jobstate.domain.job import Job
from jobstate.wire import documents
from jobstate.wire.states import Dialect

_AMPCTL = Dialect.AMPCTL


@click.command("sweep")
@file_command
def sweep(session: Session) -> None:
    """Settle what is overdue: lost leases, stops that nobody ends."""
    with session.open_file() as store:
        settled: list[Job] = []
        while some := store.sweep():
            settled += some

    def say() -> None:
        for job in settled:
            click.echo(render.outcome(job))
        click.echo(f"{text.counted(len(settled), 'job')} settled" if settled else "nothing is overdue", err=True)

    session.answer({"settled": [documents.job_document(job, _AMPCTL) for job in settled]}, say)


@click.command("audit")
@file_command
def audit(session: Session) -> None:
    """Hold every job against its history, and check the whole file.

    Exit code 1 when something is wrong.
    """
    with session.open_file() as store, counting("auditing") as told:
        report = store.audit(progress=told)

    def say() -> None:
        for finding in report.findings:
            click.echo(text.printable(str(finding)))
        verdict = "nothing is wrong" if report.ok else text.counted(len(report.findings), "finding")
        click.echo(f"{text.counted(report.jobs, 'job')}, {text.counted(report.events, 'event')}: {verdict}")
        if not report.ok:
            click.echo("`jobstate doctor` says what can be mended; keep a copy: `jobstate backup PATH`", err=True)

    session.answer(documents.audit_document(report), say)
    if not report.ok:
        raise click.exceptions.Exit(REFUSED)


@click.command("doctor")
@file_command
def doctor(session: Session) -> None:
    """Look for what is wrong, and say the fix.

    Checked are the file, its guards, stuck jobs, leases, workers, the log and the clock.
    """
    from jobstate.store.doctor import examine

    with session.open_file() as store:
        checks = examine(store)
    ok = all(check.ok for check in checks)

    def say() -> None:
        for check in checks:
            mark, look = ("ok   ", "green") if check.ok else ("WRONG", "bold red")
            told = text.hanging(f"{mark} ", f"{check.name}: {check.told}", text.columns())
            click.echo(told.replace(mark, text.styled(mark, look), 1))
            if check.fix:
                click.echo(text.hanging("      fix: ", check.fix, text.columns()))

    told = [{"name": c.name, "ok": c.ok, "told": c.told, "fix": c.fix} for c in checks]
    session.answer({"ok": ok, "checks": told}, say)
    if not ok:
        raise click.exceptions.Exit(REFUSED)


@click.command("backup")
@click.argument("path", type=click.Path(dir_okay=False))
@file_command
def backup(session: Session, path: str) -> None:
    """Copy the store to PATH while it is in use.

    PATH must not exist yet.
    """
    with session.open_file() as store, counting("copying") as told:
        store.backup(path, progress=told)
    size = os.path.getsize(path)
    session.answer({"path": path, "bytes": size}, lambda: click.echo(f"{path}: {size:,} bytes"))


@click.command("migrate")
@file_command
def migrate(session: Session) -> None:
    """Make the store, or bring its schema up to date. (Every command does so; this one does nothing else.)"""
    with session.open_file(create=True) as store:
        path, version = store.path, store.schema_version
    session.answer({"path": path, "schema_version": version}, lambda: click.echo(f"{path}: schema version {version}"))
