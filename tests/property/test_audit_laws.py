"""The audit accepts every history that decisions write, and none that was tampered with."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from jobstate.domain.audit import audit_job
from jobstate.domain.event import SUBMIT, Event
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import LIFECYCLE, State, Trigger
from tests.property.walking import RestartRequest, law_of_lives, walk, walks, written
from tests.unit.building import Life, history
from tests.values import replace

Walk = tuple[Life, list[RestartRequest]]
Lived = tuple[JobRow, list[Event]]


def _lived(chosen: Walk) -> Lived:
    versions = written(chosen[0], walk(*chosen))
    return versions[-1], history(versions)


lived = walks.map(_lived)


@law_of_lives
@given(walks)
def test_a_history_of_decisions_leads_to_its_row(chosen: Walk) -> None:
    taken = walk(*chosen)
    versions = written(chosen[0], taken)
    last = next((each.decision.job for each in reversed(taken) if each.decision), chosen[0].job)
    assert [str(finding) for finding in audit_job(last, history(versions))] == []


@law_of_lives
@given(lived, st.data())
def test_an_event_taken_away_is_found_out(story: Lived, data: st.DataObject) -> None:
    row, events = story
    del events[data.draw(st.integers(0, len(events) - 1))]
    assert list(audit_job(row, events))


@law_of_lives
@given(lived, st.data())
def test_an_event_written_twice_is_found_out(story: Lived, data: st.DataObject) -> None:
    row, events = story
    place = data.draw(st.integers(0, len(events) - 1))
    events.insert(place, events[place])
    assert list(audit_job(row, events))


@law_of_lives
@given(lived, st.data())
def test_events_that_changed_places_are_found_out(story: Lived, data: st.DataObject) -> None:
    row, events = story
    assume(len(events) > 1)
    left = data.draw(st.integers(0, len(events) - 2))
    right = data.draw(st.integers(left + 1, len(events) - 1))
    events[left], events[right] = events[right], events[left]
    assert list(audit_job(row, events))


@law_of_lives
@given(lived, st.data(), st.sampled_from(["seq", "attempt"]), st.sampled_from([-2, -1, 1, 2]))
def test_a_changed_number_is_found_out(story: Lived, data: st.DataObject, field: str, by: int) -> None:
    row, events = story
    place = data.draw(st.integers(0, len(events) - 1))
    changes: dict[str, int] = {field: getattr(events[place], field) + by}
    events[place] = replace(events[place], **changes)
    assert list(audit_job(row, events))


@law_of_lives
@given(lived, st.data(), st.sampled_from([-2, -1, 1, 2]))
def test_a_changed_token_is_found_out(story: Lived, data: st.DataObject, by: int) -> None:
    row, events = story
    place = data.draw(st.integers(0, len(events) - 1))
    events[place] = replace(events[place], token=events[place].token + by)
    assert list(audit_job(row, events))


@law_of_lives
@given(lived, st.data(), st.booleans(), st.sampled_from(State))
def test_a_changed_state_is_found_out(story: Lived, data: st.DataObject, left: bool, state: State) -> None:
    row, events = story
    place = data.draw(st.integers(0, len(events) - 1))
    changed = replace(events[place], from_state=state) if left else replace(events[place], to_state=state)
    assume(changed != events[place])
    events[place] = changed
    assert list(audit_job(row, events))


@law_of_lives
@given(lived, st.data(), st.sampled_from([*(trigger.value for trigger in Trigger), SUBMIT, "sleep"]))
def test_a_changed_trigger_is_found_out_unless_it_makes_the_same_step(
    story: Lived, data: st.DataObject, trigger: str
) -> None:
    row, events = story
    place = data.draw(st.integers(0, len(events) - 1))
    event = events[place]
    same_step = event.from_state is not None and event.to_state in {
        to for edge, to in LIFECYCLE[event.from_state].items() if edge == trigger
    }
    assume(trigger != event.trigger and not same_step and not event.is_note)
    events[place] = replace(event, trigger=trigger)
    assert list(audit_job(row, events))


@law_of_lives
@given(lived, st.sampled_from(State), st.sampled_from(["seq", "attempt", "lease_token"]))
def test_a_changed_row_is_found_out(story: Lived, state: State, field: str) -> None:
    row, events = story
    changes: dict[str, int] = {field: getattr(row, field) + 1}
    assert list(audit_job(replace(row, **changes), events))
    assert state is row.state or list(audit_job(replace(row, state=state), events))
