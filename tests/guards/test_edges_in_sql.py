"""The lifecycle as the database enforces it: each edge of the table passes, each other step does not."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import pytest

import jobstate
from jobstate import LIFECYCLE, State, Trigger
from jobstate.domain.lifecycle import AUTHORITY, EDGES, TERMINAL, Authority
from jobstate.testing.clock import ManualClock
from tests.guards.ledger import NAMES, dump, next_version, row_of, write

CASES: Final = [
    (name, trigger, target)
    for source, trigger, target in EDGES
    for name, state in NAMES.items()
    if state is source and not (name == "asked_unheld" and AUTHORITY[trigger] is Authority.HOLDER)
]
"""Every edge, from every job of its source; what only a holder may do, where there is one."""


@pytest.mark.parametrize("checks", ["OFF", "ON"])
@pytest.mark.parametrize("name", NAMES)
def test_every_step_that_is_no_edge_is_refused(
    sql: sqlite3.Connection, ids: dict[str, int], name: str, checks: str
) -> None:
    sql.execute(f"PRAGMA ignore_check_constraints = {checks}")
    source = NAMES[name]
    before = dump(sql)
    row = row_of(sql, ids[name])
    tried = 0
    for trigger in Trigger:
        for target in State:
            if LIFECYCLE[source].get(trigger) is target or (source is target and source not in TERMINAL):
                continue  # an edge; or no change of state
            step = next_version(row, trigger, target)
            for verb in ("UPDATE", "UPDATE OR IGNORE", "UPDATE OR REPLACE"):
                with pytest.raises(sqlite3.IntegrityError, match=r"jobstate:|CHECK"):
                    _write(sql, verb, ids[name], step)
                tried += 1
    assert tried >= 3 * (len(Trigger) * (len(State) - 1) - len(LIFECYCLE[source]))
    assert dump(sql) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_fits_in_all_but_the_table_is_refused_by_the_table(
    sql: sqlite3.Connection, ids: dict[str, int], name: str
) -> None:
    """The edge table itself is what refuses: with the lease and the shape of a legal step, but another trigger."""
    source = NAMES[name]
    row = row_of(sql, ids[name])
    refused_by_table = 0
    for trigger in Trigger:
        for target in State:
            if target is source or LIFECYCLE[source].get(trigger) is target:
                continue
            try:
                write(sql, ids[name], next_version(row, trigger, target))
            except sqlite3.IntegrityError as error:
                refused_by_table += "the lifecycle has no such edge" in str(error)
            else:
                pytest.fail(f"{source} -{trigger}-> {target} was written")
    assert refused_by_table > 0 or source in TERMINAL


def test_there_are_31_edges_and_each_is_tried() -> None:
    assert len(EDGES) == 31
    assert {(NAMES[name], trigger, target) for name, trigger, target in CASES} == set(EDGES)


@pytest.mark.parametrize(("name", "trigger", "target"), CASES, ids=["-".join(case) for case in CASES])
def test_every_edge_is_accepted_from_a_stranger_and_leaves_its_entry(
    path: Path, sql: sqlite3.Connection, ids: dict[str, int], name: str, trigger: Trigger, target: State
) -> None:
    row = row_of(sql, ids[name])
    step = next_version(row, trigger, target)
    assert write(sql, ids[name], step) == 1
    after = row_of(sql, ids[name])
    assert after == {**row, **step}
    newest = sql.execute(
        "SELECT seq, from_state, to_state, trigger, actor, reason, node, attempt, token FROM job_events "
        "WHERE job_id = ? ORDER BY seq DESC LIMIT 1",
        (ids[name],),
    ).fetchone()
    node = after["worker_id"] or row["worker_id"]
    assert newest == (
        *(row["seq"] + 1, NAMES[name].value, target.value, trigger.value, "sql:stranger", "by hand", node),
        *(after["attempt"], after["lease_token"]),
    )
    with jobstate.open(path, clock=ManualClock()) as jobs:
        assert jobs.audit().findings == ()
        assert jobs.get(ids[name]).state is target


def _write(sql: sqlite3.Connection, verb: str, job_id: int, step: dict[str, object]) -> None:
    assignments = ", ".join(f"{column} = :{column}" for column in step)
    sql.execute(f"{verb} jobs SET {assignments} WHERE id = :_id", {**step, "_id": job_id})
