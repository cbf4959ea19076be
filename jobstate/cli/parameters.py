"""What stands on a command line, as types: each reads one sort of word, and says what a shell may complete."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import click

from jobstate.cli.render import now
from jobstate.cli.session import DEFAULT_DB
from jobstate.domain.errors import InvalidRequest
from jobstate.wire.text import DURATION_PATTERN, parse_age, parse_duration, parse_instant

_MOST_DIGITS: Final = 20
_BEYOND: Final = 2**63


class Number(click.ParamType):  # type: ignore[type-arg]
    """A number from 1 on that names something; one of the prefixes may stand before it."""

    name = "id"

    def __init__(self, of_what: str, *prefixes: str) -> None:
        self._of_what = of_what
        self._prefixes = prefixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; anything else is a usage error."""
        text = str(value)
        for prefix in self._prefixes:
            text = text.removeprefix(prefix)
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:_MOST_DIGITS]) < _BEYOND:
            such = f", such as {self._prefixes[0]}7" if self._prefixes else ", which is a number from 1 on"
            self.fail(f"{value!r} is not the id of {self._of_what}{such}", param, ctx)
        return int(text)


class JobId(Number):
    """A job's id, on the command line."""

    def __init__(self) -> None:
        super().__init__("a job")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The ids that a shell offers."""
        from jobstate.cli.completing import job_ids

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
    """An instant: RFC 3339 with a zone, or how long ago it was, such as `10m`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant, with its zone."""
        text, present = str(value), now()
        try:
            if re.match(DURATION_PATTERN, text.strip().lower()):
                return present - timedelta(seconds=min(parse_duration(self.name, text), present.timestamp()))
            return parse_instant(self.name, text)
        except InvalidRequest as error:
            self.fail(f"{error.problem}, nor how long ago, such as 10m or 2h", param, ctx)


class Words(click.ParamType):  # type: ignore[type-arg]
    """Words with commas; which ones there are, a shell is told."""

    name = "words"

    def __init__(self, known: Callable[[], Iterable[str]]) -> None:
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The words that a shell offers."""
        from jobstate.cli.completing import words

        return words(self._known(), incomplete)


JOB_ID: Final = JobId()
CHECKPOINT: Final = Number("a checkpoint", "chk_")
DURATION: Final = Duration("duration", parse_duration)
AGE: Final = Duration("age", parse_age)
MOMENT: Final = Moment()
