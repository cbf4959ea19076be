"""No module imports itself by way of others, also not under TYPE_CHECKING or inside a function."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle, each module imported by the next one; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("jobstate", exclude_type_checking_imports=False, cache_dir=None)
    assert len(graph.modules) > 100
    assert circle({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}) == []


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
