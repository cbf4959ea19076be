"""The audit finds nothing in a store that only jobstate wrote, and writes nothing."""

from __future__ import annotations

from dataclasses import astuple

from jobstate import JobStore
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import everything, one_of_each, running, submitted


def test_an_empty_store_is_sound(store: JobStore) -> None:
    report = store.audit()
    assert report.ok
    assert (report.jobs, report.events, report.findings) == (0, 0, ())


def test_a_store_with_jobs_in_every_situation_is_sound(store: JobStore, clock: ManualClock) -> None:
    one_of_each(store)
    run = running(store)
    run.add_range("blocks", 0, 9)
    run.checkpoint(state=1)
    before = everything(store)
    report = store.audit()
    assert report.findings == ()
    assert report.jobs == len(before)
    assert report.events == sum(entry.job.seq for entry in before)
    assert everything(store) == before
    clock.advance(10_000)
    store.sweep()
    store.prune()
    assert store.audit().ok


def test_an_audit_tells_how_far_it_is(store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(1001))
    reported: list[tuple[int, int]] = []
    assert store.audit(progress=lambda done, total: reported.append((done, total))).jobs == 1001
    assert reported == [(500, 1001), (1000, 1001), (1001, 1001)]


def test_a_store_that_only_jobstate_wrote_is_as_it_should_be_also_below_its_jobs(store: JobStore) -> None:
    one_of_each(store)
    assert list(store.repository.history.check_file()) == []


def test_a_store_says_which_schema_it_has_and_how_large_it_is(store: JobStore) -> None:
    assert store.schema_version >= 1
    sizes = store.repository.sizes()
    submitted(store)
    assert store.schema_version == store.repository.schema_version()
    assert all(size >= 0 for size in (*astuple(sizes), *astuple(store.repository.sizes())))
