"""Sentences and names of the product use plain words: some that hide who does what are refused.

A sentence says who does what: "the worker renews its leases", not "what is prolonged is told". These words are the
ones that came most often instead: each has a plain one in its place.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "jobstate"
INSTEAD: Final = {
    "told": "reported, notified, shown",
    "said": "given, answered, the text",
    "whoever": "the one who does it: the claim, the sweep, the caller",
    "comes to nothing": "changes nothing",
    "come to nothing": "changes nothing",
    "is no error": "succeeds",
    "what it comes to": "the result",
    "what this comes to": "the result",
}
"""Words that a sentence does without, and what to write."""
_SENTENCE: Final = re.compile(rf"\b({'|'.join(INSTEAD)})\b", re.IGNORECASE)
_NAME: Final = re.compile(r"(?:^|_)(told|said)(?:_|$)")
MODULES: Final = sorted(path for path in PACKAGE.rglob("*.py"))


def refused(source: str) -> Iterator[str]:
    """The lines of a module with such a word in a comment, a text or a name."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        pattern = _NAME if token.type == tokenize.NAME else _SENTENCE
        found = pattern.search(token.string) if token.type != tokenize.OP else None
        if found is not None:
            line = token.start[0] + token.string[: found.start()].count("\n")
            yield f"{line}: {found[1]} ({INSTEAD[found[1].lower()]}): {lines[line - 1].strip()}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_does_without_words_that_hide_who_does_what(path: Path) -> None:
    assert list(refused(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    ["# it is told\n", 'x = """Whoever looks\n\nIt comes to nothing."""\n', "told = 1\n", "def was_told(): ...\n"],
)
def test_such_words_are_found(source: str) -> None:
    assert list(refused(source))


def test_words_that_only_contain_one_are_not_refused() -> None:
    assert not list(refused("untold = bitold = 1  # aforesaid\n"))
