"""What goes over the wire comes back as the value that it was."""

from __future__ import annotations

import json
import re

import pytest

import jobstate
from jobstate import ServerUnreachable, TableProgress, UnexpectedAnswer
from jobstate.domain.errors import InvalidRequest, JobStateError, StoreError
from jobstate.domain.event import Event
from jobstate.domain.job import Job, row_of
from jobstate.domain.lifecycle import State
from jobstate.ports.repository import WorkerInfo
from jobstate.wire import documents, errors, records
from jobstate.wire.formats import (
    LABELS_PATTERN,
    format_instant,
    format_labels,
    parse_age,
    parse_duration,
    parse_instant,
    parse_labels,
)
from tests.unit.building import one_per_state
from tests.unit.test_errors import FIELDS

RAISED = [kind(**fields) for kind, fields in FIELDS.items() if issubclass(kind, JobStateError)] + [
    kind("jobs.db", "the disk is full") for kind in (StoreError, jobstate.StoreBusy, jobstate.StoreFull)
]


def through_json(value: object) -> object:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_an_error_is_made_again_from_its_code_and_fields(error: JobStateError) -> None:
    fields = through_json(errors.fields_of(error))
    assert isinstance(fields, list)
    again = errors.error_of(errors.code_of(error), fields)
    assert again is not None
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_an_error_without_a_code_of_its_own_has_that_of_its_parent() -> None:
    assert errors.code_of(jobstate.StoreCorrupt("jobs.db", "is damaged")) == "DATABASE_ERROR"


@pytest.mark.parametrize(("code", "fields"), [("FROM_TOMORROW", []), ("JOB_NOT_FOUND", []), ("JOB_CONFLICT", [1, "?"])])
def test_an_error_that_this_version_does_not_know_is_none(code: str, fields: list[object]) -> None:
    assert errors.error_of(code, fields) is None


@pytest.mark.parametrize("state", State)
def test_a_job_in_any_state_is_made_again_from_its_record(state: State) -> None:
    stored = Job(one_per_state()[state])
    record = through_json(records.job_record(stored))
    assert isinstance(record, dict)
    again = records.job_of({**record, "from_tomorrow": 1})
    assert again == stored
    assert [type(value) for value in row_of(again)] == [type(value) for value in row_of(stored)]


def test_a_history_entry_and_a_worker_are_made_again_from_their_documents() -> None:
    event = Event(9, 7, 2, 1_700_000_000_000_001, State.SCHEDULED, State.RUNNING, "claim", "w", None, "w", 1, 1, None)
    noted = Event(10, 7, 3, 0, None, State.RUNNING, "note", "w", "why", None, 1, 1, '{"mode": "force"}')
    for entry in (event, noted):
        document = through_json(documents.event_document(entry))
        assert isinstance(document, dict)
        assert records.event_of(document) == entry
    for worker in (WorkerInfo("w", 5, 6, "h", 7, ("extract",), 2), WorkerInfo("w", 5, 6, "h", 7, None, 1)):
        document = through_json(documents.worker_document(worker))
        assert isinstance(document, dict)
        assert records.worker_of(document) == worker


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("45", 45), ("1.5h", 5400), (" 7D ", 604800), ("2w", 1209600), ("90s", 90), ("999999999w", 1e12)],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration("older_than", text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1", "nan", "1e13", "1_0", "7 days", "1e3", "1h30m", "\u0663d"])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="older_than"):
        parse_duration("older_than", text)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("00.0", 0), ("0d", 0), ("7s", 7), (" 7D ", 604800)])
def test_an_age_has_a_unit(text: str, seconds: float) -> None:
    assert parse_age("older_than", text) == seconds


@pytest.mark.parametrize("text", ["7", " 1.5 ", "45", "1e3", "00.01"])
def test_an_age_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="older_than"):
        parse_age("older_than", text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a=b", {"a": "b"}),
        ("a=,b==c", {"a": "", "b": "=c"}),
        (r"a\,b\=c\\=d\,e,f=g", {"a,b=c\\": "d,e", "f": "g"}),
        (r"a\b=c", {"ab": "c"}),
    ],
)
def test_labels_are_read_from_one_text(text: str, named: dict[str, str]) -> None:
    assert parse_labels("label", text) == named
    assert parse_labels("label", format_labels(named)) == named
    assert re.match(LABELS_PATTERN, text)


@pytest.mark.parametrize("text", ["", "a", "=b", "a=b,", ",", "a=b,,c=d", r"a\=b", "a=b,c"])
def test_what_is_no_label_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="label"):
        parse_labels("label", text)
    assert not re.match(LABELS_PATTERN, text)


def test_instants_are_written_with_four_digits_of_year_and_read_with_any_offset() -> None:
    early = parse_instant("at", "0165-09-03t11:22:47.9-07:38")
    assert format_instant(early) == "0165-09-03T19:00:47.900000Z"
    for text in ("2026-01-31", "2026-01-31T12:00:00", "yesterday", "0", ""):
        with pytest.raises(InvalidRequest, match="at"):
            parse_instant("at", text)


def test_progress_is_made_again_from_its_record_gaps_and_all() -> None:
    tables = {
        "rows": TableProgress(2, 10, ((0, 4), (9, 2**62))),
        "none yet": TableProgress(1, 5),
        "empty": TableProgress(),
    }
    record = through_json(records.progress_record(tables))
    assert isinstance(record, dict)
    assert records.progress_of(record) == tables
    assert list(records.progress_of(record)) == list(tables)


def test_an_error_from_the_way_brings_its_own_code() -> None:
    assert errors.code_of(ServerUnreachable("http://x", "away")) == "SERVER_UNREACHABLE"
    assert errors.code_of(UnexpectedAnswer("http://x", 418, "TEAPOT", "no coffee")) == "TEAPOT"
    assert errors.code_of(UnexpectedAnswer("http://x", 200, None, "a page")) == "UNEXPECTED_ANSWER"
