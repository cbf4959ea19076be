"""The command that shows the guides: guide. A guide is the README.md of the package that it explains."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from jobstate.cli.session import JSON, print_document
from jobstate.cli.view.pager import page
from jobstate.cli.view.text import Cell, Column, has_colours, table, terminal_width

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

ARCHITECTURE: Final = "architecture"
"""The name of the guide to the package as a whole."""
_FILE: Final = "README.md"
_MAX_WIDTH: Final = 100
"""The widest that prose is set: longer lines are hard to read."""
_RELATIVE_LINK: Final = re.compile(r"\[([^\]\[]+)\]\((?!https?:)[^()\s]+\)")
_LINK_UP: Final = re.compile(r"^\[jobstate\]\([^()\s]+\) · ", re.MULTILINE)
"""The link to the README at the top of a guide."""
_STYLES: Final = {"markdown.code": "cyan", "markdown.h1": "bold", "markdown.h2": "bold", "markdown.table.border": "dim"}


def root() -> Traversable:
    """The folder of the package, which holds the guides; in a wheel too."""
    from importlib.resources import files

    return files("jobstate")


def guides() -> dict[str, Traversable]:
    """The file of each guide by its name, in order of the names."""
    top = root()
    found = {folder.name: folder / _FILE for folder in top.iterdir() if folder.is_dir()} | {ARCHITECTURE: top / _FILE}
    return {name: found[name] for name in sorted(found) if found[name].is_file()}


class GuideName(click.ParamType):  # type: ignore[type-arg]
    """The name of a guide; a shell completes it."""

    name = "guide"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; a usage error lists those that exist."""
        names = guides()
        if value not in names:
            self.fail(f"there is no guide {value!r}; the guides are {', '.join(names)}", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The names that a shell offers."""
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=_title(file.read_text("utf-8")))
            for name, file in guides().items()
            if name.startswith(incomplete)
        ]


@click.command("guide")
@click.argument("name", required=False, metavar="[NAME]", type=GuideName())
@click.option("--list", "list_only", is_flag=True, help="List the guides, as without NAME.")
@JSON
def guide(name: str | None, *, list_only: bool, as_json: bool) -> None:
    """Show a guide, or list the guides.

    On a terminal it is formatted, and a long one opens in a pager (PAGER, else less). Piped, it is plain Markdown.
    """
    if name is not None and list_only:
        raise click.UsageError("--list lists all guides; leave out NAME")
    texts = {found: file.read_text("utf-8") for found, file in guides().items()}
    if as_json:
        document: Any = {"guides": [{"name": found, "title": _title(text)} for found, text in texts.items()]}
        if name is not None:
            document = {"name": name, "title": _title(texts[name]), "text": texts[name]}
        print_document(document)
    elif name is None:
        rows = [[Cell(found), Cell(_title(text))] for found, text in texts.items()]
        click.echo("\n".join(table([Column("GUIDE"), Column("ABOUT", 1)], rows, terminal_width())))
        click.echo("`jobstate guide NAME` shows a guide", err=not sys.stdout.isatty())
    elif sys.stdout.isatty():
        page(_formatted(texts[name], min(terminal_width(), _MAX_WIDTH)))
    else:
        click.echo(texts[name], nl=False)


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


def _formatted(text: str, width: int) -> str:
    """The Markdown as a terminal shows it; a link to another file becomes its text."""
    from io import StringIO

    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=True,
        color_system="standard" if has_colours() else None,
        theme=Theme(_STYLES),
        legacy_windows=False,
    )
    prose = _RELATIVE_LINK.sub(r"\1", _LINK_UP.sub("", text))
    console.print(Markdown(prose, code_theme="ansi_dark", hyperlinks=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
