"""The commands by name. Each is imported when it is needed, so that `jobstate list` starts fast."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from jobstate._version import __version__
from jobstate.cli.session import INTERRUPTED, exit_code
from jobstate.domain.errors import JobStateError

_COMMANDS: Final = {
    "list": "cli.commands.jobs:list_jobs",
    "inspect": "cli.commands.jobs:inspect_job",
    "progress": "cli.commands.progress:progress",
    "events": "cli.commands.watch:events",
    "logs": "cli.commands.logs:logs",
    "errors": "cli.commands.logs:errors",
    "metrics": "cli.commands.metrics:metrics",
    "output": "cli.commands.output:output",
    "checkpoints": "cli.commands.checkpoints:checkpoints",
    "submit": "cli.commands.jobs:submit",
    "schedule": "cli.commands.jobs:schedule",
    "stop": "cli.commands.stop:stop",
    "rescale": "cli.commands.restart:rescale",
    "fail": "cli.commands.stop:fail",
    "restart": "cli.commands.restart:restart",
    "rm": "cli.commands.jobs:remove",
    "prune": "cli.commands.maintenance:prune",
    "wait": "cli.commands.watch:wait",
    "watch": "cli.commands.watch:watch",
    "worker": "cli.commands.worker:worker",
    "serve": "cli.commands.serve:serve",
    "sweep": "cli.commands.maintenance:sweep",
    "audit": "cli.commands.maintenance:audit",
    "doctor": "cli.commands.maintenance:doctor",
    "backup": "cli.commands.maintenance:backup",
    "migrate": "cli.commands.maintenance:migrate",
    "demo": "demo.command:demo",
    "guide": "cli.commands.guide:guide",
}
"""Module and function of each command, below `jobstate`, in the order of an operator's day."""
_OPTIONS_WITH_VALUE: Final = frozenset({"--db", "--admin-url", "--auth-token", "--actor"})
COMMON_OPTIONS: Final = _OPTIONS_WITH_VALUE | {"--json"}
ALIASES: Final = {"ls": "list", "get": "inspect", "remove": "rm"}


def move_options_behind_command(args: list[str]) -> list[str]:
    """`--db FILE list` turned into `list --db FILE`."""
    options: list[str] = []
    rest = list(args)
    while rest and rest[0].partition("=")[0] in COMMON_OPTIONS:
        taken = 1 + (rest[0] in _OPTIONS_WITH_VALUE)
        options += rest[:taken]
        rest = rest[taken:]
    return [*rest[:1], *options, *rest[1:]] if rest and not rest[0].startswith("-") else rest


class Commands(click.Group):
    """The group of all commands; an error ends with one line on standard error and its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name except the aliases, in the order of an operator's day."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, also by its alias, and also after the word `job`."""
        if cmd_name == "job" and ctx.parent is None:
            return Commands("job", help="The same commands, for those who type `job` first.")
        path = _COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if path is None:
            return None
        module, _, name = path.partition(":")
        command: click.Command = getattr(import_module(f"jobstate.{module}"), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Accept the options of every command before its name too."""
        return super().parse_args(ctx, move_options_behind_command(args))

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an error of jobstate becomes its message and exit code."""
        try:
            return super().invoke(ctx)
        except JobStateError as error:
            click.echo(f"jobstate: {error}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # the reader of our output, such as `head`, has ended
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jobstate")
def cli() -> None:
    """The truth about jobs, in one file."""
