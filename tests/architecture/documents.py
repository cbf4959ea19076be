"""README.md and the guides: where they are, and the marked blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
GUIDES: Final = {
    "architecture" if path.parent == ROOT / "jobstate" else path.parent.relative_to(ROOT / "jobstate").as_posix(): path
    for path in sorted((ROOT / "jobstate").rglob("README.md"))
}
"""The guides by the name under which `jobstate guide` shows them."""
DOCUMENTS: Final = {"README": README, **GUIDES}
_FENCE: Final = re.compile(
    r"(?:<!-- (?P<marker>[^>]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code in a document; `marker` is the comment on the line before it, which says how it is checked."""

    document: str
    marker: str | None
    language: str
    text: str


def blocks() -> Iterator[Block]:
    """Every block of code, in the order of the documents."""
    for name, path in DOCUMENTS.items():
        for found in _FENCE.finditer(path.read_text()):
            yield Block(name, found["marker"], found["language"], found["text"])


def block(marker: str) -> str:
    """The text of the only block with this marker."""
    (found,) = [block.text for block in blocks() if block.marker == marker]
    return found


def prose(text: str) -> str:
    """A document without its blocks of code."""
    return _FENCE.sub("", text)
