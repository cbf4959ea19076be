"""No module imports itself by way of others, also not under TYPE_CHECKING or inside a function."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Final

import grimp
import pytest

LEFT: Final = frozenset(
    {
        ("jobstate.aio.batch", "jobstate.aio.thread_pools"),
    }
)
"""Imports that still close a circle; without them there is none. It shrinks and does not grow."""


def imports() -> dict[str, set[str]]:
    """What each module of jobstate imports of jobstate."""
    graph = grimp.build_graph("jobstate", exclude_type_checking_imports=False, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def without(left: frozenset[tuple[str, str]]) -> dict[str, set[str]]:
    """The imports but for these."""
    return {module: {other for other in found if (module, other) not in left} for module, found in imports().items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle, each module imported by the next one; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle(without(LEFT)) == []


@pytest.mark.parametrize(("importer", "imported"), sorted(LEFT))
def test_each_import_that_is_left_closes_a_circle_still(importer: str, imported: str) -> None:
    assert circle(without(LEFT - {(importer, imported)}))
