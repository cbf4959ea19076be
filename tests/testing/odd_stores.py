"""Stores to try the suite with: a sound one, one that notes what it is asked, and some with a defect each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from jobstate.domain import leases as decisions
from jobstate.domain.errors import TransitionNotAllowed
from jobstate.domain.event import Actor
from jobstate.domain.job_row import JobRow, Lease
from jobstate.ports import conformance
from jobstate.ports.repository import Claimed, Repository
from tests.contract.ported import in_memory


def sound() -> Any:
    """One without a defect."""
    return in_memory()


ASKED: Final[set[tuple[str, str]]] = set()
"""The parts and methods of `notes_what_it_is_asked` that were called."""


def notes_what_it_is_asked() -> Any:
    """A sound one, which knows what was wanted of it."""
    store: Any = in_memory()
    _note("", Repository, store)
    for part, protocol in conformance.parts().items():
        _note(part, protocol, getattr(store, part))
    return store


def _note(part: str, protocol: type, found: Any) -> None:
    for name in conformance.methods_of(protocol):
        setattr(found, name, partial(_noted, part, name, getattr(found, name)))


def _noted(part: str, name: str, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
    ASKED.add((part, name))
    return method(*given, **named)


def forgets_the_token() -> Any:
    """Who completes a job is not asked for the lease; the state of the job is all that counts."""
    store: Any = in_memory()

    def complete_now(job: JobRow, now: int, by: Actor) -> Any:
        return decisions.complete(job, job.lease_token, now, by)

    def complete(leases: Sequence[Lease], now: int, by: Actor) -> list[Lease]:
        refused = []
        for lease in leases:
            try:
                store.jobs.change(lease.job_id, partial(complete_now, now=now, by=by))
            except TransitionNotAllowed:
                refused.append(lease)
        return refused

    store.leases.complete = complete
    return store


def claims_twice() -> Any:
    """Where nothing is due, the job that was claimed last is given out again."""
    store: Any = in_memory()
    claim = store.leases.claim
    given: list[Claimed] = []

    def claim_again(*asked: Any) -> list[Claimed]:
        found: list[Claimed] = claim(*asked)
        given.extend(found)
        return found or given[-1:]

    store.leases.claim = claim_again
    return store


def loses_history() -> Any:
    """What came of a run that failed is not told."""
    store: Any = in_memory()
    events = store.history.events
    store.history.events = lambda job_id: [event for event in events(job_id) if event.trigger != "recover"]
    return store


def keeps_what_failed() -> Any:
    """A transaction that an error leaves is committed all the same."""
    store: Any = in_memory()
    transaction = store.transaction

    @contextmanager
    def committing() -> Iterator[Any]:
        error = None
        with transaction() as connection:
            try:
                yield connection
            except Exception as raised:
                error = raised
        if error is not None:
            raise error

    store.transaction = committing
    return store


def hands_out_any_kind() -> Any:
    """The kinds that a worker asks for are not heeded."""
    store: Any = in_memory()
    claim = store.leases.claim
    store.leases.claim = lambda node_id, kinds, *rest: claim(node_id, None, *rest)
    return store


def ends_its_lists_early() -> Any:
    """The last job of a page is missing."""
    store: Any = in_memory()
    page = store.jobs.page
    store.jobs.page = lambda *asked: page(*asked)[:-1]
    return store


BROKEN: Final[Mapping[str, tuple[Callable[[], Any], str]]] = {
    "forgets the token": (forgets_the_token, "TestClaiming::test_a_lease_is_lost_exactly_when_it_runs_out"),
    "claims twice": (claims_twice, "TestClaiming::test_two_workers_never_hold_the_same_job"),
    "loses history": (loses_history, "TestHistory::test_the_history_of_every_job_leads_to_its_row_without_a_gap"),
    "keeps what failed": (keeps_what_failed, "TestTransactions::test_an_error_that_leaves_a_batch_undoes_all_of_it"),
    "hands out any kind": (hands_out_any_kind, "TestClaiming::test_a_worker_claims_only_the_kinds_it_names"),
    "ends its lists early": (ends_its_lists_early, "TestListing::test_"),
}
"""Each, and a test that must fail over it."""
