"""What an editor shows behind `await jobs.…`, by jedi, which most editors without a type checker use."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import jedi
import pytest

FILE: Final = """
from jobstate.aio import AsyncRun, open

async def main(run: AsyncRun) -> None:
    async with open("jobs.db") as jobs:
        await {call}(
"""
SHOWN: Final = {
    "jobs.submit": ["kind", "descriptor", "node_id", "key"],
    "jobs.stop": ["job", "mode", "timeout", "actor", "reason"],
    "jobs.get": ["job"],
    "jobs.wait": ["job", "until", "timeout"],
    "jobs.watch": ["after", "job", "timeout"],
    "jobs.claim": ["node_id", "kinds", "lease", "limit"],
    "jobs.worker": ["node_id", "kinds", "lease"],
    "jobs.prune": ["status", "older_than"],
    "run.checkpoint": ["state"],
    "run.add_range": ["table"],
}


@pytest.mark.slow
def test_an_editor_shows_the_parameters_of_an_awaited_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one test: jedi reads the standard library once, into a folder that no other process writes."""
    monkeypatch.setattr(jedi.settings, "cache_directory", str(tmp_path))
    missing = {}
    for call, names in SHOWN.items():
        text = FILE.format(call=call).rstrip("\n")
        lines = text.splitlines()
        signatures = jedi.Script(text).get_signatures(len(lines), len(lines[-1]))
        found = [[param.name for param in signature.params][: len(names)] for signature in signatures]
        if names not in found:
            missing[call] = found
    assert missing == {}
