"""What a shell may complete: ids of jobs, words for states. Quick, silent, and nothing is made or changed by it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar, Final

import click
from click.core import ParameterSource
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from jobstate.cli.text import printable
from jobstate.domain.lifecycle import LIVE, TERMINAL, State, Trigger, sources
from jobstate.domain.rescale_requests import RESCALABLE
from jobstate.domain.restart_requests import RESTARTABLE

_SHOWN: Final = 50
_LISTING: Final = {"33", "63", "64"}
"""The values of COMP_TYPE at which bash shows what there is to choose from, instead of typing it."""


_STATES: Final = {
    "stop": LIVE,
    "rm": TERMINAL,
    "schedule": sources(Trigger.SCHEDULE),
    "fail": sources(Trigger.FAIL),
    "restart": RESTARTABLE,
    "rescale": RESCALABLE,
}
"""In which states a job is worth to be offered to a command; to the others it is in any."""


def job_ids(ctx: click.Context, param: click.Parameter, incomplete: str, default_db: str) -> list[CompletionItem[Any]]:
    """The newest jobs of the store that the line so far names, and that the command could do something with."""
    from jobstate.storage.completion import glance

    named = ctx.params.get("db")
    if ctx.params.get("admin_url") and ctx.get_parameter_source("db") is not ParameterSource.COMMANDLINE:
        return []  # the jobs are behind a server, which is not asked at every key
    path = named if isinstance(named, str) else os.environ.get("JOBSTATE_DB") or default_db
    taken = ctx.params.get(param.name or "")
    typed = set(taken) if isinstance(taken, tuple) else set()
    states = _STATES.get(ctx.command.name or "", frozenset(State))
    found = glance(os.path.expanduser(os.path.expandvars(path)), incomplete, states, _SHOWN + len(typed))
    return [
        CompletionItem(str(job_id), help=printable(f"{state} {kind}"))
        for job_id, state, kind in found
        if job_id not in typed
    ]


def words(known: Iterable[str], incomplete: str) -> list[CompletionItem[Any]]:
    """Words of a list with commas: the last one is completed, those before it stay and are not offered again."""
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{word}")
        for word in known
        if word.startswith(last.lower()) and word not in before.lower().split(",")
    ]


class BashWithHelp(BashComplete):
    """Bash, which shows what stands beside an id where it only lists, and never types it."""

    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = BashComplete.source_template.replace(
        "COMP_CWORD=$COMP_CWORD", "COMP_CWORD=$COMP_CWORD COMP_TYPE=$COMP_TYPE"
    )

    def complete(self) -> str:
        """The lines that the function in the shell reads."""
        items = self.get_completions(*self.get_completion_args())
        listing = len(items) > 1 and os.environ.get("COMP_TYPE") in _LISTING
        return "\n".join(
            f"{item.type},{item.value}" + (f"  ({_unspecial(item.help)})" if listing and item.help else "")
            for item in items
        )


def _unspecial(text: str) -> str:
    """In one line, without what bash would look up in the current folder."""
    return "".join("." if letter in "*?[]" else letter for letter in " ".join(text.split()))


def install() -> None:
    """Let click answer bash in this way."""
    add_completion_class(BashWithHelp)
