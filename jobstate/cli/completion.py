"""Shell completion: ids of jobs and words for states. Fast and silent; it creates and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar, Final

import click
from click.core import ParameterSource
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from jobstate.cli.view.text import printable
from jobstate.domain.lifecycle import LIVE, TERMINAL, State, Trigger, sources
from jobstate.domain.rescale_requests import RESCALABLE
from jobstate.domain.restart_requests import RESTARTABLE

_MAX_CHOICES: Final = 50
_LISTING: Final = {"33", "63", "64"}
"""The values of COMP_TYPE with which bash lists the choices instead of typing one."""
_STATES: Final = {
    "stop": LIVE,
    "rm": TERMINAL,
    "schedule": sources(Trigger.SCHEDULE),
    "fail": sources(Trigger.FAIL),
    "restart": RESTARTABLE,
    "rescale": RESCALABLE,
}
"""The states of the jobs that a command can act on; other commands accept a job in any state."""


def job_ids(ctx: click.Context, param: click.Parameter, incomplete: str, default_db: str) -> list[CompletionItem[Any]]:
    """The newest jobs that the command can act on, from the store that the line so far names."""
    from jobstate.storage.completion import glance

    named = ctx.params.get("db")
    if ctx.params.get("admin_url") and ctx.get_parameter_source("db") is not ParameterSource.COMMANDLINE:
        return []  # no request to a server at every key
    path = named if isinstance(named, str) else os.environ.get("JOBSTATE_DB") or default_db
    taken = ctx.params.get(param.name or "")
    typed = set(taken) if isinstance(taken, tuple) else set()
    states = _STATES.get(ctx.command.name or "", frozenset(State))
    found = glance(os.path.expanduser(os.path.expandvars(path)), incomplete, states, _MAX_CHOICES + len(typed))
    return [
        CompletionItem(str(job_id), help=printable(f"{state} {kind}"))
        for job_id, state, kind in found
        if job_id not in typed
    ]


def words(known: Iterable[str], incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the last of several words separated by commas; the words before it are not offered again."""
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{word}")
        for word in known
        if word.startswith(last.lower()) and word not in before.lower().split(",")
    ]


class BashWithHelp(BashComplete):
    """Bash completion that shows the help of an id in a list of choices, and never types it."""

    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = BashComplete.source_template.replace(
        "COMP_CWORD=$COMP_CWORD", "COMP_CWORD=$COMP_CWORD COMP_TYPE=$COMP_TYPE"
    )

    def complete(self) -> str:
        """The lines that the function in the shell reads."""
        items = self.get_completions(*self.get_completion_args())
        listing = len(items) > 1 and os.environ.get("COMP_TYPE") in _LISTING
        return "\n".join(
            f"{item.type},{item.value}" + (f"  ({_without_globs(item.help)})" if listing and item.help else "")
            for item in items
        )


def _without_globs(text: str) -> str:
    """The text in one line, without the characters that bash would expand to file names."""
    return "".join("." if letter in "*?[]" else letter for letter in " ".join(text.split()))


def install() -> None:
    """Make click use this class for bash."""
    add_completion_class(BashWithHelp)
