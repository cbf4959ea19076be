"""What a short command must not import: it is most of what such a command takes. Never timed, as machines differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import jobstate

NEVER: Final = {
    *("asyncio", "concurrent.futures", "http", "multiprocessing", "pathlib", "playhouse", "ssl", "tempfile"),
    *("rich.console", "rich.progress", "rich.table", "rich.text", "transitions", "unittest", "urllib"),
}
"""What neither of them needs."""
STORE: Final = {"peewee", "sqlite3", "socket"}
"""What only those need that open one; peewee brings sockets along."""
SCRIPT: Final = """
import sys, json
sys.path[:] = json.loads(sys.argv[1])
what, sys.argv[1:] = sys.argv[2], sys.argv[3:]
import atexit, os
found = os.dup(1)
atexit.register(lambda: os.write(found, ("\\nMODULES " + " ".join(sorted(sys.modules))).encode()))
if what == "import":
    import jobstate
else:
    from jobstate.cli import main
    main()
"""


def modules_of(*arguments: str, what: str = "main") -> set[str]:
    """The modules that are there when the program ends; `site` and what it would import are left out."""
    command = [sys.executable, "-S", "-c", SCRIPT, json.dumps(sys.path), what, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    said, _, modules = result.stdout.partition("\nMODULES ")
    assert what == "import" or said
    return set(modules.split())


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("start") / "jobs.db"
    with jobstate.open(path, durability="normal") as store:
        store.submit("extract", {"dataset": "eth/mainnet"})
        (run,) = store.claim("worker-01")
        run.metrics("source_1", records_in=1)
        run.log.warning("slow", details={"seconds": 5})
        run.emit("sink_1", {"id": 1})
        run.flush()
    return str(path)


@pytest.mark.parametrize("line", ["list", "progress 1", "stop 1", "logs 1", "errors 1", "metrics 1", "output 1"])
def test_a_short_command_imports_the_store_and_little_else(db: str, line: str) -> None:
    assert modules_of(*line.split(), "--db", db) & NEVER == set()


@pytest.mark.parametrize("line", ["--help", "list --help"])
def test_help_does_not_import_the_store(line: str) -> None:
    assert modules_of(*line.split()) & (NEVER | STORE) == set()


def test_importing_jobstate_imports_nothing_of_it() -> None:
    loaded = modules_of(what="import")
    assert "jobstate" in loaded
    assert not loaded & (
        NEVER | STORE | {"click", "dataclasses", "datetime", "inspect", "logging", "random", "threading"}
    )


def test_only_the_statements_that_are_used_are_compiled(db: str) -> None:
    with jobstate.open(db) as store:
        assert store.list().jobs
        parts = vars(store.repository).keys()
        assert not parts & {"leases", "reports", "history", "workers"}
        assert store.events(1)
        assert "history" in vars(store.repository)
