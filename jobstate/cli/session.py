"""What every command shares: its common options, the store or server it opens, exit codes, and output."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

import jobstate
from jobstate.domain.errors import (
    DuplicateJob,
    InvalidRequest,
    JobNotTerminal,
    JobStateError,
    LeaseLost,
    RestartNotAllowed,
    TransitionNotAllowed,
)
from jobstate.system import user
from jobstate.wire.errors import code_of

DEFAULT_DB: Final = "jobstate.db"
DB_VARIABLE: Final = "JOBSTATE_DB"
URL_VARIABLE: Final = "JOBSTATE_ADMIN_URL"
TOKEN_VARIABLE: Final = "JOBSTATE_AUTH_TOKEN"  # noqa: S105  (its name)
DONE, REFUSED, USAGE, NOT_FOUND, CONFLICT, TRY_AGAIN = 0, 1, 2, 3, 4, 75
INTERRUPTED: Final = 130  # the code that shells give a program that Ctrl-C ended

Command = TypeVar("Command", bound=Callable[..., Any])


def print_document(document: Any) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def exit_code(error: JobStateError) -> int:
    """The exit code of a command that ends with this error."""
    if isinstance(error, LookupError):
        return NOT_FOUND
    if isinstance(error, JobNotTerminal | TransitionNotAllowed | RestartNotAllowed | DuplicateJob | LeaseLost):
        return CONFLICT
    if isinstance(error, InvalidRequest):
        return USAGE
    return TRY_AGAIN if error.retryable else REFUSED


@dataclass(frozen=True, slots=True)
class Session:
    """The common options of one call: which store or server, who acts, and how to answer."""

    db: str
    as_json: bool
    actor: str
    admin_url: str | None = None
    token: str | None = field(default=None, repr=False)

    def open(self, *, create: bool = False) -> jobstate.JobStore | jobstate.JobClient:
        """Open the store or the server that the user named."""
        if self.admin_url is None:
            return self.open_file(create=create)
        try:
            return jobstate.connect(self.admin_url, token=self.token, actor=self.actor)
        except ModuleNotFoundError as error:
            raise click.ClickException(str(error)) from error

    def open_file(self, *, create: bool = False) -> jobstate.JobStore:
        """Open the store in the file that the user named."""
        if not create and self.db != ":memory:" and not os.path.exists(self.db):
            raise click.ClickException(
                f"there is no {self.db}: name the file with --db or JOBSTATE_DB; `jobstate submit` creates a new one"
            )
        return jobstate.open(self.db, create=create, actor=self.actor)

    def answer(self, document: Any, show: Callable[[], None]) -> None:
        """Print the document as JSON, or call `show` to print text for people."""
        if self.as_json:
            print_document(document)
        else:
            show()

    def line(self, document: Any, text: str) -> None:
        """Print one of a stream of answers: a line of JSON, or text."""
        click.echo(json.dumps(document, ensure_ascii=False) if self.as_json else text)

    def each(self, ids: Iterable[int], act: Callable[[int], tuple[Any, str]]) -> None:
        """Act on each job, also after an error, and end with the highest exit code.

        `act` returns a JSON document and a sentence about one job. With `--json`, one id prints its document, several
        print `{"results": […]}`.
        """
        results, code = [], DONE
        unique = list(dict.fromkeys(ids))
        for job_id in unique:
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
            self.answer(results[0] if len(unique) == 1 else {"results": results}, lambda: None)
        if code:
            raise click.exceptions.Exit(code)


_DB: Final = click.option(
    "--db",
    envvar=DB_VARIABLE,
    default=DEFAULT_DB,
    show_default=True,
    type=click.Path(),
    metavar="FILE",
    help="The file of the store.",
)
JSON: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output, nothing else."
)
_ACTOR: Final = click.option(
    "--actor", envvar="JOBSTATE_ACTOR", metavar="NAME", help="Who acts, for the history.  [default: cli:USER]"
)
_ADMIN_URL: Final = click.option(
    "--admin-url",
    envvar=URL_VARIABLE,
    metavar="URL",
    help=f"Use the `jobstate serve` there instead of a file. [{URL_VARIABLE}]",
)
NO_ADMIN_URL: Final = click.option("--admin-url", envvar=URL_VARIABLE, hidden=True)
TOKEN_FILE: Final = click.option(
    "--auth-token",
    "token_file",
    metavar="FILE",
    help=f"A file that holds the server's token. [{TOKEN_VARIABLE} holds the token itself]",
)


def command(function: Command) -> Command:
    """Give a command `--db`, `--admin-url`, `--auth-token`, `--json` and `--actor`, which arrive as a `Session`."""

    @_DB
    @_ADMIN_URL
    @TOKEN_FILE
    @JSON
    @_ACTOR
    @functools.wraps(function)
    def called(
        db: str, admin_url: str | None, token_file: str | None, as_json: bool, actor: str | None, **arguments: Any
    ) -> Any:
        by_file, by_url = _source("db"), _source("admin_url")
        if by_file is by_url is ParameterSource.COMMANDLINE:
            raise click.UsageError("--db and --admin-url exclude each other; give one of them")
        if by_file is by_url is ParameterSource.ENVIRONMENT:
            raise click.UsageError(
                f"{DB_VARIABLE} and {URL_VARIABLE} are both set; choose with --db or --admin-url, or unset one"
            )
        remote = by_url is not None and by_file is not ParameterSource.COMMANDLINE
        if token_file is not None and not remote:
            raise click.UsageError("--auth-token is for a server; name the server with --admin-url")
        token = auth_token(token_file) if remote else None
        return function(Session(db, as_json, _actor(actor), admin_url if remote else None, token), **arguments)

    return called  # type: ignore[return-value]


def file_command(function: Command) -> Command:
    """Give a command that needs the file itself `--db`, `--json` and `--actor`, which arrive as a `Session`."""

    @_DB
    @NO_ADMIN_URL
    @JSON
    @_ACTOR
    @functools.wraps(function)
    def called(db: str, admin_url: str | None, as_json: bool, actor: str | None, **arguments: Any) -> Any:
        refuse_url()
        return function(Session(db, as_json, _actor(actor)), **arguments)

    return called  # type: ignore[return-value]


def refuse_url() -> None:
    """Raise a usage error if the user named a server, for a command that needs the file.

    The environment variable counts too, unless `--db` is given: its user would take the answer for the server's.
    """
    named = _source("admin_url")
    if named is ParameterSource.COMMANDLINE or (named and _source("db") is not ParameterSource.COMMANDLINE):
        source = "--admin-url" if named is ParameterSource.COMMANDLINE else URL_VARIABLE
        name = click.get_current_context().info_name
        raise click.UsageError(
            f"`{name}` needs the store's file, and {source} names a server; "
            f"run it on the machine that has the file: jobstate {name} --db FILE"
        )


def auth_token(file: str | None) -> str | None:
    """The token: from the file that the user named, else from the environment."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip() or None
    try:
        with open(file, encoding="utf-8") as opened:
            token = opened.read().strip()
    except (OSError, ValueError) as error:
        # The message leaves the value out: it may be the token itself.
        cause = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise click.BadParameter(
            f"is not a file that can be read{cause}; to give the token itself, set {TOKEN_VARIABLE}",
            param_hint="--auth-token",
        ) from None
    if not token:
        raise click.BadParameter("the file is empty; write the token into it", param_hint="--auth-token")
    return token


def _source(option: str) -> ParameterSource | None:
    """Where the user gave the option; None if nowhere."""
    source = click.get_current_context().get_parameter_source(option)
    return source if source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT) else None


def _actor(given: str | None) -> str:
    return given or f"cli:{user()}"
