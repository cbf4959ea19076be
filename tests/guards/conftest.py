from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from tests.guards.ledger import copied, populate, stranger


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    path = tmp_path_factory.mktemp("guards") / "template.db"
    return path, populate(path)


@pytest.fixture
def ids(template: tuple[Path, dict[str, int]]) -> dict[str, int]:
    return template[1]


@pytest.fixture
def path(template: tuple[Path, dict[str, int]], tmp_path: Path) -> Path:
    return copied(template[0], tmp_path)


@pytest.fixture
def sql(path: Path) -> Iterator[Connection]:
    with stranger(path) as connection:
        yield connection
