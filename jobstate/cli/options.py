"""The types of arguments and options, with their completion, and the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import click

from jobstate.cli.session import DEFAULT_DB, Command
from jobstate.cli.view.units import now
from jobstate.core.arguments import MAX_PAGE
from jobstate.domain.errors import InvalidRequest
from jobstate.wire.formats import DURATION_PATTERN, parse_age, parse_duration, parse_instant

_MOST_DIGITS: Final = 20
_BEYOND: Final = 2**63


class Number(click.ParamType):  # type: ignore[type-arg]
    """The id of something: a number from 1 on, with or without one of the prefixes."""

    name = "id"

    def __init__(self, subject: str, *prefixes: str) -> None:
        self._subject = subject
        self._prefixes = prefixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; anything else is a usage error."""
        text = str(value)
        for prefix in self._prefixes:
            text = text.removeprefix(prefix)
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:_MOST_DIGITS]) < _BEYOND:
            example = f", such as {self._prefixes[0]}7" if self._prefixes else ", which is a number from 1 on"
            self.fail(f"{value!r} is not the id of {self._subject}{example}", param, ctx)
        return int(text)


class JobId(Number):
    """A job's id; a shell completes it from the store."""

    def __init__(self) -> None:
        super().__init__("a job")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The ids that a shell offers."""
        from jobstate.cli.completion import job_ids

        return job_ids(ctx, param, incomplete, DEFAULT_DB)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration such as `90`, `1.5h`, `7d`, in seconds."""

    def __init__(self, name: str, read: Callable[[str, str], float]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        try:
            return self._read(self.name, str(value))
        except InvalidRequest as error:
            self.fail(error.problem, param, ctx)


class Moment(click.ParamType):  # type: ignore[type-arg]
    """An instant: RFC 3339 with a zone, or an age such as `10m`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant, with its zone."""
        text, present = str(value), now()
        try:
            if re.match(DURATION_PATTERN, text.strip().lower()):
                return present - timedelta(seconds=min(parse_duration(self.name, text), present.timestamp()))
            return parse_instant(self.name, text)
        except InvalidRequest as error:
            self.fail(f"{error.problem}, nor an age such as 10m or 2h", param, ctx)


class Words(click.ParamType):  # type: ignore[type-arg]
    """Words separated by commas; a shell completes them from a list."""

    name = "words"

    def __init__(self, known: Callable[[], Iterable[str]]) -> None:
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The words that a shell offers."""
        from jobstate.cli.completion import words

        return words(self._known(), incomplete)


JOB_ID: Final = JobId()
CHECKPOINT: Final = Number("a checkpoint", "chk_")
DURATION: Final = Duration("duration", parse_duration)
AGE: Final = Duration("age", parse_age)
MOMENT: Final = Moment()

REASON: Final = click.option("--reason", metavar="TEXT", help="Why, for the history.")


def limit_option(things: str) -> Callable[[Command], Command]:
    """`--limit N`: the most of these things to show."""
    return click.option(
        "-l",
        "--limit",
        default=50,
        show_default=True,
        type=click.IntRange(1, MAX_PAGE),
        help=f"The most {things} to show.",
    )


def operator_option(text: str) -> Callable[[Command], Command]:
    """`--operator ID`, as `operator_id`, with this help text."""
    return click.option("--operator", "operator_id", metavar="ID", help=text)


def labels_option(text: str) -> Callable[[Command], Command]:
    """`--label NAME=VALUE`, repeatable, as the mapping `labels`, with this help text."""
    return click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", callback=_labels, help=text)


def _labels(_context: click.Context, _option: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--label")
        labels[name] = value
    return labels
