"""What every command shares: the options, the store, exit codes, and one place for output."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

import jobstate
from jobstate.domain.errors import (
    DuplicateJob,
    EventNotFound,
    InvalidRequest,
    JobNotFound,
    JobNotTerminal,
    JobStateError,
    LeaseLost,
    TransitionNotAllowed,
    WorkerNotFound,
)
from jobstate.system import user
from jobstate.wire.durations import seconds_in
from jobstate.wire.errors import code_of

DEFAULT_DB: Final = "jobstate.db"
DONE, REFUSED, USAGE, NOT_FOUND, CONFLICT, TRY_AGAIN = 0, 1, 2, 3, 4, 75

Command = TypeVar("Command", bound=Callable[..., Any])


def exit_code(error: JobStateError) -> int:
    """What a command that met this error ends with."""
    if isinstance(error, JobNotFound | EventNotFound | WorkerNotFound):
        return NOT_FOUND
    if isinstance(error, JobNotTerminal | TransitionNotAllowed | DuplicateJob | LeaseLost):
        return CONFLICT
    if isinstance(error, InvalidRequest):
        return USAGE
    return TRY_AGAIN if error.retryable else REFUSED


@dataclass(frozen=True, slots=True)
class Session:
    """How the user called."""

    db: str
    as_json: bool
    actor: str

    def open(self, *, create: bool = False) -> jobstate.JobStore:
        """The store that the user named."""
        if not create and self.db != ":memory:" and not os.path.exists(self.db):
            raise click.ClickException(
                f"there is no {self.db}: name the file with --db or JOBSTATE_DB; `jobstate submit` makes a new one"
            )
        return jobstate.open(self.db, create=create, actor=self.actor)

    def answer(self, document: Any, say: Callable[[], None]) -> None:
        """One JSON document on standard output, or what people like to read."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        else:
            say()

    def line(self, document: Any, text: str) -> None:
        """One of many answers, as it comes: a line of JSON, or a line of text."""
        click.echo(json.dumps(document, ensure_ascii=False) if self.as_json else text)

    def each(self, ids: Iterable[int], act: Callable[[int], tuple[Any, str]]) -> None:
        """Do something to each job, and end with the highest exit code; the others are done all the same.

        `act` returns a JSON document and a sentence about one job. One id is answered by its document, several by
        `{"results": […]}`.
        """
        results, code = [], DONE
        chosen = list(dict.fromkeys(ids))
        for job_id in chosen:
            try:
                document, sentence = act(job_id)
            except JobStateError as error:
                code = max(code, exit_code(error))
                document = {"id": job_id, "error_code": code_of(error), "error_message": str(error)}
                click.echo(f"jobstate: {error}", err=True)
            else:
                if not self.as_json:
                    click.echo(sentence)
            results.append(document)
        if self.as_json:
            self.answer(results[0] if len(chosen) == 1 else {"results": results}, lambda: None)
        if code:
            raise click.exceptions.Exit(code)


def command(function: Command) -> Command:
    """Give a command `--db`, `--json` and `--actor`, and pass them on as a `Session`."""

    @click.option(
        "--db",
        envvar="JOBSTATE_DB",
        default=DEFAULT_DB,
        show_default=True,
        metavar="FILE",
        help="The file of the store.",
    )
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, nothing else.")
    @click.option("--actor", envvar="JOBSTATE_ACTOR", metavar="NAME", help="Who acts, for the history. [cli:USER]")
    @functools.wraps(function)
    def called(db: str, as_json: bool, actor: str | None, **arguments: Any) -> Any:
        return function(
            Session(str(Path(db)) if db != ":memory:" else db, as_json, actor or f"cli:{user()}"), **arguments
        )

    return called  # type: ignore[return-value]


class JobId(click.ParamType):  # type: ignore[type-arg]
    """A job's id, on the command line."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; anything else is a usage error."""
        text = str(value)
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:20]) < 2**63:
            self.fail(f"{value!r} is not the id of a job, which is a number from 1 on", param, ctx)
        return int(text)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration such as `90`, `1.5h`, `7d`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; a bare number is seconds already."""
        try:
            return seconds_in(self.name, str(value))
        except InvalidRequest as error:
            self.fail(error.problem, param, ctx)


JOB_ID: Final = JobId()
DURATION: Final = Duration()
