"""What an editor shows behind `await jobs.…`, by jedi, which most editors without a type checker use."""

from __future__ import annotations

import jedi
import pytest

FILE = """
from jobstate.aio import AsyncRun, open

async def main(run: AsyncRun) -> None:
    async with open("jobs.db") as jobs:
        await {call}(
"""


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ("jobs.submit", ["kind", "descriptor", "node_id", "key"]),
        ("jobs.stop", ["job", "mode", "timeout", "actor", "reason"]),
        ("jobs.get", ["job"]),
        ("jobs.wait", ["job", "until", "timeout"]),
        ("jobs.watch", ["after", "job", "timeout"]),
        ("jobs.claim", ["node_id", "kinds", "lease", "limit"]),
        ("jobs.worker", ["node_id", "kinds", "lease"]),
        ("jobs.prune", ["status", "older_than"]),
        ("run.checkpoint", ["state"]),
        ("run.add_range", ["table"]),
    ],
)
def test_an_editor_shows_the_parameters_of_an_awaited_call(call: str, shown: list[str]) -> None:
    text = FILE.format(call=call).rstrip("\n")
    lines = text.splitlines()
    signatures = jedi.Script(text).get_signatures(len(lines), len(lines[-1]))
    assert shown in [[param.name for param in signature.params][: len(shown)] for signature in signatures]
