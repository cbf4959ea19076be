"""The commands that are shown, by the file that holds them, and how a file is written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.adapters.golden.screens import Piped, Screen, on_a_terminal, piped
from tests.adapters.golden.story import NAME, NIGHT

FOLDER: Final = Path(__file__).parent
WIDTHS: Final = (80, 200)


@dataclass(frozen=True, slots=True)
class Case:
    """A command line in front of a store; no story is a folder without a file."""

    line: str
    story: str | None = "day"


CASES: Final[dict[str, list[Case]]] = {
    "list": [
        Case("list"),
        Case("list --status all"),
        Case("list --status all --limit 3"),
        Case("list --kind extract --status running,completed"),
        Case("list --kind unheard-of"),
        Case("list --status all --label team=nobody"),
        Case("list", "empty"),
        Case("list --status all", "empty"),
        Case("list", None),
        Case("list --status runing"),
    ],
    "inspect": [*(Case(f"inspect {number}") for number in (1, 2, 3, 5, 7, 9, 10, 12)), Case("inspect 99")],
    "progress": [
        Case("progress 1"),
        Case("progress 5"),
        Case("progress 2"),
        Case("progress 4"),
        Case("progress 1 --follow"),
        Case("progress 2 --follow"),
        Case("progress 99"),
    ],
    "events": [Case("events 1"), Case("events 2"), Case("events 5"), Case("events 12"), Case("events 99")],
    "logs": [
        Case("logs 1", "pipeline"),
        Case("logs 1 --limit 2", "pipeline"),
        Case("logs 1 --level warn,error --operator source_1", "pipeline"),
        Case("logs 1 --task 3", "pipeline"),
        Case("logs 1 --since 3h --until 2026-03-13T23:02:30Z", "pipeline"),
        Case("logs 2 --follow", "pipeline"),
        Case("logs 5 --limit 3", "pipeline"),
        Case("logs 5 --limit 3 --before log_1210", "pipeline"),
        Case("logs 5 --level warn", "pipeline"),
        Case("logs 5 --level info --limit 2", "pipeline"),
        Case("logs 1 --operator nobody", "pipeline"),
        Case("logs 6", "pipeline"),
        Case("logs 99", "pipeline"),
        Case("logs 1 --level warm", "pipeline"),
        Case("logs 1 --since yesterday", "pipeline"),
        Case("logs 1 --follow --until 1h", "pipeline"),
    ],
    "errors": [
        Case("errors 1", "pipeline"),
        Case("errors 1 --level warning", "pipeline"),
        Case("errors 5 --limit 1", "pipeline"),
        Case("errors 6", "pipeline"),
        Case("errors 1 --operator nobody", "pipeline"),
        Case("errors 99", "pipeline"),
        Case("errors 1 --level info", "pipeline"),
    ],
    "metrics": [
        Case("metrics 1", "pipeline"),
        Case("metrics 1 --operator source_1", "pipeline"),
        Case("metrics 1 --groups", "pipeline"),
        Case("metrics 2", "pipeline"),
        Case("metrics 6", "pipeline"),
        Case("metrics 1 --operator nobody", "pipeline"),
        Case("metrics 99", "pipeline"),
        Case("metrics 1 --operator source_1 --groups", "pipeline"),
    ],
    "output": [
        Case("output 1", "pipeline"),
        Case("output 1 --operator sink_1", "pipeline"),
        Case("output 1 --limit 2 --offset 1", "pipeline"),
        Case("output 1 --offset 100", "pipeline"),
        Case("output 1 --format csv --operator sink_2", "pipeline"),
        Case("output 1 --operator sink_1 --limit 1 --format json", "pipeline"),
        Case("output 1 --operator nobody", "pipeline"),
        Case("output 6", "pipeline"),
        Case("output 99", "pipeline"),
        Case("output 1 --json --format csv", "pipeline"),
    ],
    "checkpoints": [
        Case("checkpoints 1", "pipeline"),
        Case("checkpoints 1 --completed", "pipeline"),
        Case("checkpoints 1 --limit 2", "pipeline"),
        Case("checkpoints 1 chk_2", "pipeline"),
        Case("checkpoints 1 3", "pipeline"),
        Case("checkpoints 5", "day"),
        Case("checkpoints 5 chk_2", "day"),
        Case("checkpoints 6", "pipeline"),
        Case("checkpoints 6 --completed", "pipeline"),
        Case("checkpoints 99", "pipeline"),
        Case("checkpoints 2 chk_1", "pipeline"),
        Case("checkpoints 1 log_1", "pipeline"),
        Case("checkpoints 1 chk_1 --limit 3", "pipeline"),
    ],
    "restart": [
        Case("restart 2", "pipeline"),
        Case("restart 2 --checkpoint chk_5 --parallelism 8 --reason bigger", "pipeline"),
        Case("restart 3", "pipeline"),
        Case("restart 1", "pipeline"),
        Case("restart 4", "pipeline"),
        Case("restart 3 --checkpoint chk_5", "pipeline"),
        Case("restart 2 --parallelism 0", "pipeline"),
        Case("restart 99", "pipeline"),
        Case("restart 2 --checkpoint newest", "pipeline"),
    ],
    "rescale": [
        Case("rescale 1 8", "pipeline"),
        Case("rescale 1 4", "pipeline"),
        Case("rescale 6 1000", "pipeline"),
        Case("rescale 6 1", "pipeline"),
        Case("rescale 2 4", "pipeline"),
        Case("rescale 1 0", "pipeline"),
        Case("rescale 1 many", "pipeline"),
        Case("rescale 99 2", "pipeline"),
    ],
    "submit": [
        Case("submit extract {}", None),
        Case("submit extract --hold"),
        Case("submit extract --key eth/mainnet@1.3.0"),
        Case("schedule 4"),
        Case("schedule 1"),
    ],
    "stop": [
        Case("stop 5"),
        Case("stop 10 4 6"),
        Case("stop 7 8 1"),
        Case("stop 5 --mode force"),
        Case("stop 12 --wait --timeout 0"),
        Case("stop 99 5"),
        Case("fail 5 --reason given-up"),
        Case("fail 1 --reason given-up"),
    ],
    "rm": [Case("rm 1 99"), Case("rm 5 1")],
    "prune": [
        Case("prune --dry-run"),
        Case("prune"),
        Case("prune --status completed"),
        Case("prune --older-than 30d"),
        Case("prune", "empty"),
        Case("prune --status running"),
    ],
    "wait": [Case("wait 1 2 3"), Case("wait 5 --timeout 0"), Case("wait 5 --until running"), Case("wait 99")],
    "watch": [Case("watch --after 0 --timeout 0"), Case("watch --timeout 0"), Case("watch --timeout 0", "empty")],
    "sweep": [Case("sweep", "trouble"), Case("sweep", "empty")],
    "audit": [Case("audit"), Case("audit", "empty"), Case("audit", "unguarded")],
    "doctor": [Case("doctor"), Case("doctor", "trouble"), Case("doctor", "unguarded"), Case("doctor", None)],
    "backup": [
        Case("backup copy.db", "empty"),
        Case(f"backup {NAME}", "empty"),
        Case("backup nowhere/copy.db", "empty"),
    ],
    "guide": [
        Case("guide", None),
        Case("guide sample", None),
        Case("guide nowhere", None),
        Case("guide sample --list", None),
    ],
    "migrate": [Case("migrate", "empty"), Case("migrate", None)],
}


def shown(name: str, stories: dict[str, Path], scratch: Path) -> str:
    """The golden file of that name, as the commands are now."""
    parts = [part for number, case in enumerate(CASES[name]) for part in _parts(case, stories, scratch / str(number))]
    return "\n".join(parts) + "\n"


def _parts(case: Case, stories: dict[str, Path], scratch: Path) -> Iterator[str]:
    yield f"{'=' * 100}\n$ jobstate {case.line}" + (f"    ({case.story})" if case.story else "    (no file)")
    arguments, now_us = case.line.split(), int(NIGHT.timestamp()) * 1_000_000
    screens: list[str] = []
    for columns in WIDTHS:
        folder = _fresh(case, stories, scratch / str(columns))
        screens.append(_told(on_a_terminal(arguments, folder, now_us, columns)))
    if screens[0] == screens[1]:
        yield f"--- on a terminal of {' and of '.join(map(str, WIDTHS))} columns {screens[0]}"
    else:
        yield from (
            f"--- on a terminal of {columns} columns {screen}" for columns, screen in zip(WIDTHS, screens, strict=True)
        )
    folder = _fresh(case, stories, scratch / "piped")
    yield f"--- piped {_told(piped(arguments, folder, now_us))}"


def _fresh(case: Case, stories: dict[str, Path], folder: Path) -> Path:
    folder.mkdir(parents=True)
    if case.story is not None:
        shutil.copy(stories[case.story], folder / NAME)
    return folder


def _told(answer: Screen | Piped) -> str:
    if isinstance(answer, Screen):
        styles = [f"[{style}: {' | '.join(texts)}]" for style, texts in answer.styled.items()]
        text = "\n".join([f"(exit code {answer.code})", *answer.lines, *styles])
    else:
        errors = [f"2> {line}" for line in answer.err.splitlines()]
        text = "\n".join([f"(exit code {answer.code})", *answer.out.splitlines(), *errors])
    return text + "\n"
