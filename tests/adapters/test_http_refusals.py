"""What the server refuses: each with its status and code, two keys and nothing else, and nothing is changed by it."""

from __future__ import annotations

import itertools
from typing import Final

import pytest

from jobstate import State
from jobstate.http.errors import FIELDS_HEADER
from jobstate.wire.errors import error_of
from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api
from tests.adapters.refusing import assert_refused, raw, request
from tests.adapters.server import Answer

pytestmark = pytest.mark.parametrize("running_api", [Dialect.DOCS], indirect=True, scope="module")

WHY: Final = {"X-Jobstate-Reason": "hopeless"}


OF_A_JOB: Final = [
    ("GET", "/jobs/{}"),
    ("GET", "/jobs/{}/progress"),
    ("GET", "/jobs/{}/events"),
    ("GET", "/jobs/{}/events/1"),
    ("GET", "/jobs/{}/wait"),
    ("PUT", "/jobs/{}/stop"),
    ("PUT", "/jobs/{}/schedule"),
    ("PUT", "/jobs/{}/fail"),
    ("DELETE", "/jobs/{}"),
]
NO_IDS: Final = (
    *("abc", "0", "-1", "-0", "1.5", "1.0", str(2**63), "9" * 20, "9" * 30, "9" * 5000, "0" * 30 + "1", "%20", "%201"),
    *(
        "1%20",
        "+1",
        "%2B1",
        "1_0",
        "%00",
        "%0A",
        "1%0A",
        "%D9%A3",
        "%EF%BC%91",
        "1e3",
        "0x1",
        "null",
        "1;2",
        "-",
        "%22",
    ),
)


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
def test_what_is_no_id_is_an_invalid_job_id_everywhere(untouched: Api, method: str, path: str) -> None:
    for text in NO_IDS:
        answer = untouched.server.ask(method, path.format(text), headers=WHY)
        assert_refused(answer, 400, "INVALID_JOB_ID", "job_id: must be ")


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
def test_a_job_that_is_not_there_is_not_found_and_its_deletion_is_done(untouched: Api, method: str, path: str) -> None:
    for job_id in (10**6, 2**63 - 1):
        answer = untouched.server.ask(method, path.format(job_id), headers=WHY)
        if method == "DELETE":
            assert (answer.status, answer.text) == (204, "")
        else:
            assert_refused(answer, 404, "JOB_NOT_FOUND", f"there is no job {job_id}")


INVALID: Final = "INVALID_QUERY_PARAMETERS"


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("limit=0", "LIMIT_INVALID", "limit: must be at least 1"),
        ("limit=00", "LIMIT_INVALID", "limit: must be at least 1"),
        ("limit=1001", "LIMIT_TOO_LARGE", "limit: must be at most 1000"),
        (f"limit={2**63}", "LIMIT_TOO_LARGE", "limit: must be at most 1000"),
        (f"limit={'9' * 5000}", "LIMIT_TOO_LARGE", "limit: must be at most 1000"),
        ("limit=-1", INVALID, "limit: must be at least 1"),
        (f"limit=-{'9' * 30}", INVALID, "limit: must be at least 1"),
        ("limit=", INVALID, "limit: must be an integer"),
        ("limit", INVALID, "limit: must be an integer"),
        ("limit=ten", INVALID, "limit: must be an integer"),
        ("limit=1.0", INVALID, "limit: must be an integer"),
        ("limit=%D9%A3", INVALID, "limit: must be an integer"),
        ("limit=10&limit=10", INVALID, "limit: is given more than once"),
        ("last_job_id=0", INVALID, "last_job_id: must be at least 1"),
        ("last_job_id=-1", INVALID, "last_job_id: must be at least 1"),
        (f"last_job_id={2**63}", INVALID, "last_job_id: must be at most 9223372036854775807"),
        ("last_job_id=x", INVALID, "last_job_id: must be an integer"),
        ("status=", INVALID, "status: has no word ''"),
        ("status=busy", INVALID, "status: has no word 'busy'"),
        ("status=running&status=stopped", INVALID, "status: is given more than once"),
        ("kind=", INVALID, "kind: must not be empty"),
        (f"kind={'x' * 256}", INVALID, "kind: must have at most 255 characters"),
        ("kind=a%00b", INVALID, "kind: must be printable text"),
        ("node_id=a%0Ab", INVALID, "node_id: must be printable text"),
        ("pipeline_id=", INVALID, "pipeline_id: must not be empty"),
        ("label=team", INVALID, "label: must be NAME=VALUE"),
        ("label=a%00=b", INVALID, "must be printable text"),
        ("view=whole", INVALID, "view: must be 'document' or 'record'"),
        ("other=1&other=2", INVALID, "other: is given more than once"),
    ],
)
def test_a_listing_refuses_what_it_cannot_mean(untouched: Api, query: str, code: str, said: str) -> None:
    assert_refused(untouched.ask("GET", f"/jobs?{query}"), 400, code, said)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "status: is required"),
        ("?", "status: is required"),
        ("?older_than=7d", "status: is required"),
        ("?status", "status: must be one of"),
        ("?status=", "status: must be one of"),
        ("?status=all", "live jobs are kept"),
        ("?status=active", "live jobs are kept"),
        ("?status=completed,stopped", "status: must be one of"),
        ("?status=terminal&status=stopped", "status: is given more than once"),
        ("?status=terminal&older_than=", "older_than: '' is not a duration"),
        ("?status=terminal&older_than=a%20week", "older_than: 'a week' is not a duration"),
        ("?status=terminal&older_than=7", "older_than: '7' has no unit; say 7s, 7m, 7h, 7d or 7w"),
        ("?status=terminal&older_than=-1", "older_than: '-1' is not a duration"),
        ("?status=terminal&older_than=nan", "older_than: 'nan' is not a duration"),
        ("?status=terminal&older_than=1e999", "older_than: '1e999' is not a duration"),
        ("?status=terminal&dry_run=", "dry_run: must be true or false"),
        ("?status=terminal&dry_run=yes", "dry_run: must be true or false"),
        ("?status=terminal&dry_run=1", "dry_run: must be true or false"),
        ("?status=terminal&dry_run=True", "dry_run: must be true or false"),
        ("?status=terminal&x=1&x=1", "x: is given more than once"),
    ],
)
def test_a_bulk_deletion_refuses_what_it_cannot_mean(untouched: Api, query: str, said: str) -> None:
    assert_refused(untouched.ask("DELETE", f"/jobs{query}"), 400, "INVALID_QUERY_PARAM", said)


@pytest.mark.parametrize(
    ("method", "path", "code", "said"),
    [
        ("PUT", "/jobs/1/stop?mode=", INVALID, "mode: must be 'checkpoint', 'immediate' or 'force'"),
        ("PUT", "/jobs/1/stop?mode=FORCE", INVALID, "mode: must be "),
        ("PUT", "/jobs/1/stop?timeout_seconds=-1", INVALID, "timeout_seconds: must be at least 0"),
        ("PUT", "/jobs/1/stop?timeout_seconds=nan", INVALID, "timeout_seconds: must be a finite number"),
        ("PUT", "/jobs/1/stop?timeout_seconds=1e999", INVALID, "timeout_seconds: must be a finite number"),
        ("PUT", "/jobs/1/stop?timeout_seconds=soon", INVALID, "timeout_seconds: must be a number"),
        ("PUT", "/jobs/1/stop?mode=force&mode=force", INVALID, "mode: is given more than once"),
        ("GET", "/jobs/1/wait?timeout=31", INVALID, "timeout: must be at most 30"),
        ("GET", "/jobs/1/wait?timeout=-1", INVALID, "timeout: must be at least 0"),
        ("GET", "/jobs/1/wait?timeout=nan", INVALID, "timeout: must be a finite number"),
        ("GET", "/jobs/1/wait?until=ready", INVALID, "until: has no word 'ready'"),
        ("GET", "/events?after=-1", INVALID, "after: must be at least 0"),
        ("GET", "/events?after=now", INVALID, "after: must be an integer"),
        ("GET", "/events?job_id=0", INVALID, "job_id: must be at least 1"),
        ("GET", "/jobs/1/events/0", "INVALID_EVENT_ID", "event_id: must be at least 1"),
        ("GET", "/jobs/1/events/first", "INVALID_EVENT_ID", "event_id: must be an integer"),
        ("GET", "/workers/%00", "INVALID_NODE_ID", "node_id: must be printable text"),
        ("GET", f"/workers/{'x' * 256}", "INVALID_NODE_ID", "node_id: must have at most 255 characters"),
        ("PUT", "/jobs/1/fail", "INVALID_REQUEST", "X-Jobstate-Reason: is required"),
    ],
)
def test_other_parameters_are_refused_by_name(untouched: Api, method: str, path: str, code: str, said: str) -> None:
    assert_refused(untouched.ask(method, path), 400, code, said)


def test_an_event_and_a_worker_that_are_not_there_are_not_found(untouched: Api) -> None:
    job_id = next(iter(untouched.store.iterate("all"))).id
    answer = untouched.ask("GET", f"/jobs/{job_id}/events/{2**63 - 1}")
    assert_refused(answer, 404, "EVENT_NOT_FOUND", f"the history of job {job_id} has no entry")
    first = next(iter(untouched.store.watch(after=0, timeout=0)))
    if first.job_id != job_id:
        assert_refused(untouched.ask("GET", f"/jobs/{job_id}/events/{first.id}"), 404, "EVENT_NOT_FOUND")
    for name in ("nobody", "a/b", "%E2%9C%93"):
        assert_refused(untouched.ask("GET", f"/workers/{name}"), 404, "WORKER_NOT_FOUND", "there is no worker")


def test_query_keys_that_nobody_knows_are_ignored(untouched: Api) -> None:
    job_id = next(iter(untouched.store.iterate("all"))).id
    for path in (
        "/jobs",
        f"/jobs/{job_id}",
        f"/jobs/{job_id}/progress",
        f"/jobs/{job_id}/events",
        "/workers",
        "/healthz",
    ):
        for query in ("limits=0", "LIMIT=0", "job_id=x", "=", "&&", "%00=%FF", "a[]=1"):
            plain = untouched.ask("GET", path)
            assert plain.status == 200
            assert untouched.ask("GET", f"{path}?{query}").json == plain.json


@pytest.mark.parametrize(
    "path",
    [
        *("/nope", "/jobs/", "/jobs/1/", "//jobs", "/jobs//1", "/jobs/1/stops", "/jobs/1/stop/", "/JOBS", "/%00"),
        *("/jobs/1/events/1/1", "/docs", "/redoc", "/docs/oauth2-redirect", "/..", "/jobs/../../etc/passwd"),
    ],
)
def test_a_path_that_is_not_there_is_not_found_by_any_method(untouched: Api, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FOO"):
        assert_refused(raw(untouched.server, request(method, path)), 404, "NOT_FOUND", "no such path")


def test_a_method_that_a_path_does_not_know_is_refused_with_all_that_it_knows(untouched: Api) -> None:
    described = untouched.ask("GET", "/openapi.json").json["paths"]
    for path, operations in described.items():
        known = {method.upper() for method in operations}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"} - known:
            answer = untouched.ask(
                method, path.format(job_id=1, event_id=1, checkpoint_id=1, node_id="w", operator_id="o")
            )
            assert_refused(answer, 405, "METHOD_NOT_ALLOWED", "Allow")
            assert answer.headers["allow"] == ", ".join(sorted(known)), path


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/jobs/{}/schedule"), ("PUT", "/jobs/{}/fail"), ("DELETE", "/jobs/{}")]
)
def test_the_fields_of_an_error_make_it_again(untouched: Api, method: str, path: str) -> None:
    state = State.RUNNING if method == "DELETE" else State.COMPLETED
    job_id = next(job.id for job in untouched.store.iterate("all") if job.state is state)
    for chosen in (job_id, 10**6) if method == "PUT" else (job_id,):
        answer = untouched.server.ask(method, path.format(chosen), headers=WHY)
        error = error_of(answer.json["error_code"], Answer(0, {}, answer.headers[FIELDS_HEADER]).json)
        assert str(error) == answer.json["error_message"]


ODD_TARGETS: Final = (
    "/jobs",
    "/jobs/1",
    "/jobs/x",
    "/jobs/1/stop",
    "/jobs/1/events/x",
    "/events?after=x",
    "/metrics/x",
    "/%ff",
)
ODD_HEADERS: Final[list[dict[str, str]]] = [
    {"Accept": "text/html"},
    {"Accept": "application/xml;q=1, */*;q=0"},
    {"Content-Type": "text/html", "Content-Length": "0"},
    {"Cookie": "a=b", "Range": "bytes=0-1", "If-None-Match": "*"},
    {"X-HTTP-Method-Override": "DELETE", "X-Forwarded-For": "10.0.0.1"},
    {"Last-Event-ID": "x", "Upgrade": "websocket", "Connection": "Upgrade"},
    {"X-Jobstate-Actor": "", "X-Jobstate-Reason": ""},
]


def test_odd_requests_are_never_answered_in_the_words_of_the_framework(untouched: Api) -> None:
    for method, target, headers in itertools.product(("PATCH", "POST", "GET"), ODD_TARGETS, ODD_HEADERS):
        answer = raw(untouched.server, request(method, target, headers))
        if answer.status == 200:
            continue
        assert_refused(answer, answer.status, answer.json["error_code"])
        assert answer.status in (400, 404, 405)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /jobs\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /jobs?kind=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_like_everything_else(untouched: Api, data: bytes) -> None:
    answer = raw(untouched.server, data)
    assert_refused(answer, 400, "INVALID_REQUEST", "not a valid HTTP/1.1 request")
    assert answer.headers["connection"] == "close"
