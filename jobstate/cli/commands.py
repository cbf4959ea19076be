"""The commands by name. Each is imported when it is needed, so that `jobstate list` starts fast."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from jobstate._version import __version__
from jobstate.cli.session import INTERRUPTED, NO_ADMIN_URL, exit_code, refuse_url
from jobstate.domain.errors import JobStateError

_HOMES: Final = {
    "list": "looking:list_jobs",
    "inspect": "looking:inspect_job",
    "progress": "looking:show_progress",
    "events": "looking:show_events",
    "logs": "saying:logs",
    "errors": "saying:errors",
    "metrics": "metering:metrics",
    "output": "sampling:output",
    "checkpoints": "checkpointing:checkpoints",
    "submit": "changing:submit",
    "schedule": "changing:schedule",
    "stop": "changing:stop",
    "rescale": "continuing:rescale",
    "fail": "changing:fail",
    "restart": "continuing:restart",
    "rm": "changing:remove",
    "prune": "changing:prune",
    "wait": "waiting:wait",
    "watch": "waiting:watch",
    "worker": "working:worker",
    "serve": "serving:serve",
    "sweep": "upkeep:sweep",
    "audit": "upkeep:audit",
    "doctor": "upkeep:doctor",
    "backup": "upkeep:backup",
    "migrate": "upkeep:migrate",
    "demo": "commands:demo",
}
_TAKING_A_VALUE: Final = frozenset({"--db", "--admin-url", "--auth-token", "--actor"})
_EVERYWHERE: Final = _TAKING_A_VALUE | {"--json"}
_ALIASES: Final = {"ls": "list", "get": "inspect", "remove": "rm"}


def behind_the_command(args: list[str]) -> list[str]:
    """`--db FILE list` turned into `list --db FILE`."""
    before: list[str] = []
    rest = list(args)
    while rest and rest[0].partition("=")[0] in _EVERYWHERE:
        valued = rest[0] in _TAKING_A_VALUE
        before += rest[: 1 + valued]
        rest = rest[1 + valued :]
    return [*rest[:1], *before, *rest[1:]] if rest and not rest[0].startswith("-") else rest


class Commands(click.Group):
    """The group of all commands; an error ends with one line on standard error and its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name but the aliases, in the order of an operator's day."""
        return list(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, also by its alias, also behind the word `job`."""
        if cmd_name == "job" and ctx.parent is None:
            return Commands("job", help="The same commands, for those who type `job` before them.")
        home = _HOMES.get(_ALIASES.get(cmd_name, cmd_name))
        if home is None:
            return None
        module, _, name = home.partition(":")
        found: click.Command = getattr(import_module(f"jobstate.cli.{module}"), name)
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The options of every command may stand before its name too."""
        return super().parse_args(ctx, behind_the_command(args))

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an error of jobstate becomes its message and exit code."""
        try:
            return super().invoke(ctx)
        except JobStateError as error:
            click.echo(f"jobstate: {error}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # whoever read our output has enough of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jobstate")
def cli() -> None:
    """The truth about jobs, in one file."""


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False))
@click.option("--db", envvar="JOBSTATE_DB", type=click.Path(dir_okay=False), help="Keep the jobs here.")
@NO_ADMIN_URL
@click.option("--pace", default=2.0, show_default=True, type=click.FloatRange(0, 1000), help="Milliseconds per file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output; the rest on the other.")
def demo(folder: str | None, db: str | None, admin_url: str | None, pace: float, as_json: bool) -> None:
    """Count the files of FOLDER while jobs stop and a worker dies.

    Four worker processes do it; one job is stopped half way and restarted, one worker is killed. FOLDER is the Python
    standard library of this machine unless it is given. Ends with exit code 0 only if every job came to its right end,
    none lost or repeated what a checkpoint held, the totals of progress and metrics equal those of a plain walk of
    FOLDER, and the audit found nothing.
    """
    refuse_url()
    from pathlib import Path

    from jobstate.cli.demo.stage import play

    place, file = (None if path is None else Path(path) for path in (folder, db))
    verdict = play(place, file, pace / 1000, on_errors=as_json)
    if as_json:
        import json

        click.echo(json.dumps(verdict.document(), ensure_ascii=False, indent=2))
    sys.exit(0 if verdict.held else 1)
