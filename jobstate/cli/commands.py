"""The commands: parse, call, render."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from jobstate import __version__
from jobstate.domain.errors import JobStateError


class Reported(click.Group):
    """A group whose commands end with one line on standard error instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an error of jobstate becomes its message and exit code 1."""
        try:
            return super().invoke(ctx)
        except JobStateError as error:
            click.echo(f"jobstate: {error}", err=True)
            sys.exit(1)


@click.group(cls=Reported, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jobstate")
def cli() -> None:
    """The truth about jobs, in one file."""


@cli.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--db", envvar="JOBSTATE_DB", type=click.Path(dir_okay=False, path_type=Path), help="Keep the jobs here.")
@click.option("--pace", default=2.0, show_default=True, type=click.FloatRange(0, 1000), help="Milliseconds per file.")
def demo(folder: Path | None, db: Path | None, pace: float) -> None:
    """Count every file of FOLDER with four worker processes; stop one job half way, kill one worker.

    FOLDER is the Python standard library of this machine unless it is given. Ends with exit code 0 only if every job
    came to its right end, the totals equal those of a plain walk of FOLDER, and the audit found nothing.
    """
    from jobstate.cli.demo.stage import play

    sys.exit(0 if play(folder, db, pace / 1000) else 1)
