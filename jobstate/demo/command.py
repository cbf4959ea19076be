"""The command that runs the demo."""

from __future__ import annotations

import sys

import click

from jobstate.cli.session import DB_VARIABLE, NO_ADMIN_URL, print_document, refuse_url


@click.command("demo")
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False))
@click.option(
    "--db", envvar=DB_VARIABLE, type=click.Path(dir_okay=False), metavar="FILE", help="Keep the jobs in this file."
)
@NO_ADMIN_URL
@click.option("--pace", default=2.0, show_default=True, type=click.FloatRange(0, 1000), help="Milliseconds per file.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output, the rest on standard error."
)
def demo(folder: str | None, db: str | None, admin_url: str | None, pace: float, as_json: bool) -> None:
    """Count the files of FOLDER through a stop and a crash.

    Four worker processes run the jobs; one job is stopped half way and restarted, one worker is killed. FOLDER is the
    Python standard library of this machine unless you name another. The exit code is 0 only if every job ended as it
    should, none lost or repeated what a checkpoint held, the totals of progress and metrics equal those of a plain walk
    of FOLDER, and the audit found nothing.
    """
    refuse_url()
    from pathlib import Path

    from jobstate.demo.scenario import run_demo

    folder_path, file = (None if path is None else Path(path) for path in (folder, db))
    verdict = run_demo(folder_path, file, pace / 1000, on_errors=as_json)
    if as_json:
        print_document(verdict.document())
    sys.exit(0 if verdict.held else 1)
