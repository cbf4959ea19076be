"""Who changes a job over HTTP, and why, stands in its history: as the headers say, or the address that asked."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final
from urllib.parse import quote

import pytest

from jobstate import State
from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api
from tests.adapters.jobs_in_states import brought

pytestmark = pytest.mark.parametrize("running_api", [Dialect.DOCS], indirect=True, scope="module")

ACTOR, REASON = "X-Jobstate-Actor", "X-Jobstate-Reason"
Change = Callable[[Api, Mapping[str, str]], int]
Recorded = tuple[str, str | None]


def submit(api: Api, headers: Mapping[str, str]) -> int:
    answer = api.server.ask("POST", "/jobs", body={"kind": "extract"}, headers=headers)
    assert answer.status == 201
    job_id: int = answer.json["id"]
    return job_id


def put(verb: str, state: State) -> Change:
    def change(api: Api, headers: Mapping[str, str]) -> int:
        job_id = brought(api.store, state)
        assert api.server.ask("PUT", f"/jobs/{job_id}/{verb}", headers=headers).status == 200
        return job_id

    return change


CHANGES: Final[dict[str, Change]] = {
    "submit": submit,
    "schedule": put("schedule", State.CREATED),
    "stop": put("stop", State.RUNNING),
    "stop of a job that nobody runs": put("stop", State.CREATED),
    "stop, harder": put("stop?mode=immediate", State.STOP_REQUESTED),
    "force": put("stop?mode=force", State.RUNNING),
}


def newest(api: Api, job_id: int) -> Recorded:
    event = api.store.events(job_id)[-1]
    shown = api.ask("GET", f"/jobs/{job_id}/events").json["events"][-1]
    assert (shown["actor"], shown["reason"]) == (event.actor, event.reason)
    return event.actor, event.reason


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_recorded_with_the_actor_and_the_reason_of_its_headers(api: Api, change: str) -> None:
    job_id = CHANGES[change](api, {ACTOR: "ana@example.com", REASON: "wrong input, see #12"})
    assert newest(api, job_id) == ("ana@example.com", "wrong input, see #12")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_without_headers_is_recorded_with_the_address_that_asked(api: Api, change: str) -> None:
    assert newest(api, CHANGES[change](api, {})) == ("http:127.0.0.1", None)


@pytest.mark.parametrize("headers", [{}, {ACTOR: "ana"}])
def test_a_failure_is_recorded_with_its_reason(api: Api, headers: dict[str, str]) -> None:
    job_id = put("fail", State.RUNNING)(api, {**headers, REASON: "hopeless%0Asince%20May"})
    assert newest(api, job_id) == (headers.get(ACTOR, "http:127.0.0.1"), "hopeless\nsince May")
    failure = api.ask("GET", f"/jobs/{job_id}").json["failure"]
    assert failure == {"message": "hopeless\nsince May", "kind": "fatal", "domain": "operator"}


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs?status=completed"])
@pytest.mark.parametrize(
    ("headers", "recorded"),
    [({}, ("http:127.0.0.1", None)), ({ACTOR: "%C3%A9va", REASON: "%E2%9C%93%20done"}, ("éva", "✓ done"))],
)
def test_a_deletion_is_recorded_with_who_and_why(
    api: Api, path: str, headers: dict[str, str], recorded: Recorded
) -> None:
    job_id = brought(api.store, State.COMPLETED)
    assert api.server.ask("DELETE", path.format(job_id), headers=headers).status == 204
    with closing(sqlite3.connect(api.store.path)) as connection:
        found = connection.execute("SELECT actor, reason FROM deletions WHERE id = ?", (job_id,)).fetchall()
    assert found == [recorded]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Éva Kőszegi",
            "日本語",
            "\U0001f600",
            'a, b; c="d"',
            "50% done",
            "100%25",
            "a+b",
            "x" * 80,
            "%zz",
            "a/b?c#d",
        ),
        *("\u00df\u0301", "~!@$^&*()", "% %", "%C3%A9"),
    ],
)
def test_any_printable_text_passes_percent_encoded(api: Api, text: str) -> None:
    job_id = put("stop", State.RUNNING)(api, {ACTOR: quote(text, safe=""), REASON: quote(text, safe="")})
    assert newest(api, job_id) == (text, text)
    assert api.ask("GET", f"/jobs/{job_id}").json["stop"]["reason"] == text


@pytest.mark.parametrize("text", ["plain", "a b", "a+b=c", "a@b.c/d?e", "50% of it"])
def test_plain_ascii_may_be_sent_as_it_is(api: Api, text: str) -> None:
    job_id = put("stop", State.RUNNING)(api, {ACTOR: text, REASON: text})
    assert newest(api, job_id) == (text, text)


def test_an_actor_that_is_no_printable_text_is_recorded_as_it_came(api: Api) -> None:
    for said in ("%0A", "a%00b", "%E2%80%A8"):
        assert newest(api, put("stop", State.RUNNING)(api, {ACTOR: said}))[0] == said


def test_the_first_reason_of_a_stop_is_kept_and_each_request_is_recorded(api: Api) -> None:
    job_id = brought(api.store, State.RUNNING)
    for who, mode in (("ana", "checkpoint"), ("ben", "immediate")):
        path = f"/jobs/{job_id}/stop?mode={mode}"
        assert api.server.ask("PUT", path, headers={ACTOR: who, REASON: f"{who} says so"}).status == 200
    assert api.ask("GET", f"/jobs/{job_id}").json["stop"]["reason"] == "ana says so"
    recorded = [(event.actor, event.reason) for event in api.store.events(job_id)][-2:]
    assert recorded == [("ana", "ana says so"), ("ben", "ben says so")]


def test_a_long_header_gets_the_same_answer_when_it_arrives_in_parts(untouched: Api) -> None:
    job_id = next(job.id for job in untouched.store.iterate("all") if job.state is State.RUNNING)
    with socket.create_connection(("127.0.0.1", untouched.server.port)) as connection:
        connection.sendall(f"PUT /jobs/{job_id}/stop HTTP/1.1\r\nHost: localhost\r\n{ACTOR}: {'x' * 30_000}".encode())
        time.sleep(0.1)
        connection.sendall(f"{'x' * 30_000}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 400 " in answer
    assert b": must " in answer


@pytest.mark.parametrize("header", [ACTOR, REASON])
def test_a_header_that_is_empty_or_too_long_is_refused_and_nothing_is_changed(untouched: Api, header: str) -> None:
    job_id = next(job.id for job in untouched.store.iterate("all") if job.state is State.RUNNING)
    for text in ("", "x" * 60_000):
        answer = untouched.server.ask("PUT", f"/jobs/{job_id}/stop", headers={header: text})
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_REQUEST")
        assert ": must " in answer.json["error_message"]
