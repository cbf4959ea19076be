"""Handlers for tests of stepping, faults and worker processes."""

from __future__ import annotations

from typing import Final

from jobstate import Run

BLOCKS: Final = 30


def count(run: Run) -> None:
    """Counts blocks, with a checkpoint every ten."""
    start = run.restored.state if run.restored else 0
    assert isinstance(start, int)
    for block in range(start, BLOCKS):
        run.raise_if_stopping()
        run.add_range("blocks", block, block, files=1)
        if block % 10 == 9:
            run.checkpoint(state=block + 1)


def refuse(run: Run) -> None:
    """Fails whenever it is tried."""
    raise ConnectionError("the node went away")


def hang(run: Run) -> None:
    """Goes on until it is told to end."""
    while True:
        run.raise_if_stopping()


HANDLERS: Final = {"count": count, "refuse": refuse, "hang": hang}
