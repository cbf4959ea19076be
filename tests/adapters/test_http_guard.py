"""Who is let in: names of this machine, pages of this server, bearers of the token, senders of JSON; nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

import jobstate
from jobstate.http import Settings
from tests.adapters.served import connected, rest, said
from tests.adapters.server import Answer, Server, serving

TOKEN = "correct-horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[jobstate.JobStore]:
    with jobstate.open(tmp_path_factory.mktemp("guard") / "jobs.db", durability="normal") as store:
        store.submit("extract")
        yield store


@pytest.fixture(scope="module")
def local(store: jobstate.JobStore) -> Iterator[Server]:
    """As on a loopback, without a token."""
    with serving(store) as server:
        yield server


@pytest.fixture(scope="module")
def public(store: jobstate.JobStore) -> Iterator[Server]:
    """As where others can reach it, with a token."""
    with serving(store, Settings(token=TOKEN, local_names_only=False, body_limit=1000)) as server:
        yield server


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["error_code"]) == (status, code)
    assert set(answer.json) == {"error_code", "error_message"}
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


# Host


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:1610", "localhost", "localhost:1610", "LOCALHOST:1610", "127.0.0.2:80"),
        *("[::1]", "[::1]:1610", "[0:0:0:0:0:0:0:1]:1610"),
    ],
)
def test_a_name_of_this_machine_is_answered(host: str, local: Server) -> None:
    assert local.ask("GET", "/jobs", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:1610", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1"),
        *(
            "0.0.0.0",
            "[::]",
            "[::ffff:192.0.2.1]",
            "[",
            "[::1",
            "::1",
            "",
            "2130706433",
            "localhost:1610, evil.example",
            "evil.example@localhost",
            "localhost/evil.example",
            "localhost?",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/jobs", "/healthz", "/metrics", "/nowhere"])
def test_a_page_whose_name_was_bent_to_this_machine_is_refused(host: str, path: str, local: Server) -> None:
    refused(local.ask("GET", path, headers={"Host": host}), 403, "FORBIDDEN")


def test_a_request_without_a_host_is_refused(local: Server) -> None:
    assert said(local.port, "GET /jobs HTTP/1.0").startswith("HTTP/1.1 403")
    assert said(local.port, "GET /jobs HTTP/1.1").startswith("HTTP/1.1 400")


def test_two_hosts_are_refused(local: Server) -> None:
    assert said(local.port, "GET /jobs HTTP/1.1", "Host: localhost", "Host: evil.example").startswith("HTTP/1.1 400")


def test_where_others_can_reach_it_any_name_is_answered_to_the_bearer_of_the_token(public: Server) -> None:
    assert public.ask("GET", "/jobs", headers={**BEARER, "Host": "jobs.example.org"}).status == 200
    refused(public.ask("GET", "/jobs", headers={"Host": "jobs.example.org"}), 401, "UNAUTHORIZED")


# Origin


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "http://evil.example",
            "https://evil.example:1610",
            "null",
            "",
            "file://",
            "http://",
            "http://[::1",
            "nonsense",
        ),
        *("http://127.0.0.1", "http://127.0.0.1:1", "http://127.0.0.1.evil.example", "http://localhost:{port}"),
    ],
)
def test_a_page_from_elsewhere_is_refused(origin: str, local: Server) -> None:
    refused(local.ask("GET", "/jobs", headers={"Origin": origin.format(port=local.port)}), 403, "FORBIDDEN")


def test_a_page_of_this_server_is_answered(local: Server, public: Server) -> None:
    assert local.ask("GET", "/jobs", headers={"Origin": local.url}).status == 200
    assert local.ask("GET", "/jobs", headers={"Origin": local.url.upper()}).status == 200
    beyond = {**BEARER, "Origin": "https://jobs.example.org", "Host": "jobs.example.org"}
    assert public.ask("GET", "/jobs", headers=beyond).status == 200


def test_one_good_origin_does_not_excuse_another(local: Server) -> None:
    lines = (f"Host: 127.0.0.1:{local.port}", f"Origin: {local.url}", "Origin: http://evil.example")
    assert said(local.port, "GET /jobs HTTP/1.1", *lines).startswith("HTTP/1.1 403")


# A web page, as a browser sends what it asks for

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = {"Content-Type": "text/plain;charset=UTF-8"}


@pytest.mark.parametrize("origin", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {}], ids=str)
@pytest.mark.parametrize(
    ("method", "path", "headers", "raw"),
    [
        ("POST", "/jobs", TEXT, b'{"kind": "evil"}'),  # fetch(..., {mode: "no-cors"})
        ("POST", "/jobs", FORM, b'{"kind": "evil", "a=": "b"}'),  # a form that posts itself
        ("POST", "/jobs", {"Content-Type": "multipart/form-data; boundary=x"}, b'{"kind": "evil"}'),
        ("POST", "/jobs", {}, b'{"kind": "evil"}'),  # navigator.sendBeacon with a blob
        ("POST", "/jobs/1/stop", FORM, b""),
        ("GET", "/jobs/1/stop", {}, b""),  # an image
        ("POST", "/jobs/1/stop", {**FORM, "X-HTTP-Method-Override": "PUT"}, b"_method=PUT"),
    ],
)
def test_nothing_that_a_page_may_send_unasked_changes_anything(
    method: str,
    path: str,
    headers: Mapping[str, str],
    raw: bytes,
    origin: Mapping[str, str],
    local: Server,
    store: jobstate.JobStore,
) -> None:
    before = store.newest_event()
    assert local.ask(method, path, raw=raw, headers={**headers, **origin}).status in (403, 405, 415)
    assert store.newest_event() == before


@pytest.mark.parametrize(("method", "path"), [("PUT", "/jobs/1/stop"), ("DELETE", "/jobs/1"), ("POST", "/jobs")])
def test_a_page_that_asks_first_is_told_no_and_does_not_come_through_either(
    method: str, path: str, local: Server, store: jobstate.JobStore
) -> None:
    before = store.newest_event()
    page = {"Origin": "https://evil.example"}
    asked = {**page, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
    refused(local.ask("OPTIONS", path, headers=asked), 403, "FORBIDDEN")
    refused(local.ask(method, path, headers=page), 403, "FORBIDDEN")
    assert store.newest_event() == before


# Token


@pytest.mark.parametrize(
    "given",
    [
        *("", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"),
        *(f"Bearer {TOKEN.upper()}", "Bearer corréct-horse", "Bearer \xff\xfe", f"Bearer {TOKEN}, Bearer x"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/jobs", "/metrics", "/openapi.json", "/events", "/healthz/", "//healthz", "/nowhere"]
)
def test_without_the_token_nothing_is_told_not_even_what_there_is(given: str, path: str, public: Server) -> None:
    answer = public.ask("GET", path, headers={"Authorization": given})
    refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in answer.text + str(answer.headers)


@pytest.mark.parametrize("path", ["/healthz/../jobs", "/healthz%2F..%2Fjobs", "/healthz;/jobs", "/jobs#/healthz"])
def test_no_way_of_writing_a_path_leads_past_the_token(path: str, public: Server) -> None:
    assert said(public.port, f"GET {path} HTTP/1.1", "Host: x").startswith("HTTP/1.1 401")


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}  "])
def test_the_token_lets_in(given: str, public: Server) -> None:
    for path in ("/jobs", "/metrics", "/openapi.json"):
        assert public.ask("GET", path, headers={"Authorization": given}).status == 200


def test_health_needs_no_token(public: Server) -> None:
    answer = public.ask("GET", "/healthz")
    assert answer.status == 200
    assert answer.json["status"] == "ok"


def test_without_a_token_set_none_is_asked_for(local: Server) -> None:
    assert local.ask("GET", "/metrics").status == 200
    assert local.ask("GET", "/jobs", headers={"Authorization": "Bearer \xff"}).status == 200


@pytest.mark.parametrize("token", ["", " ", "two words", "tokén", "new\nline", " padded"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(jobstate.InvalidRequest, match="token"):
        Settings(token=token)


# Bodies


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/jsonx", "text/json", "application/x-www-form-urlencoded"]
)
def test_a_body_that_does_not_say_it_is_json_is_refused(kind: str | None, local: Server) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    refused(local.ask("POST", "/jobs", raw=b'{"kind": "x"}', headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_of_unknown_length_that_is_not_json_is_refused(local: Server) -> None:
    lines = ("Host: localhost", "Transfer-Encoding: chunked", "Content-Type: text/plain")
    assert "415" in said(local.port, "POST /jobs HTTP/1.1", *lines, body=b"2\r\n{}\r\n0\r\n\r\n").partition("\r\n")[0]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_taken(kind: str, local: Server) -> None:
    assert local.ask("POST", "/jobs", raw=b'{"kind": "x"}', headers={"Content-Type": kind}).status == 201


def test_a_body_that_announces_too_much_is_refused_before_it_is_read(public: Server) -> None:
    lines = ("Host: x", f"Authorization: Bearer {TOKEN}", "Content-Type: application/json", "Content-Length: 1001")
    assert "413" in said(public.port, "POST /jobs HTTP/1.1", *lines).partition("\r\n")[0]


def test_a_body_that_turns_out_too_large_is_refused(public: Server) -> None:
    lines = (
        "Host: x",
        f"Authorization: Bearer {TOKEN}",
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
    )
    part = b"200\r\n" + b" " * 0x200 + b"\r\n"
    assert "413" in said(public.port, "POST /jobs HTTP/1.1", *lines, body=2 * part).partition("\r\n")[0]


def test_requests_that_come_together_are_each_judged(public: Server) -> None:
    first = f"GET /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with_none = b"GET /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    both = rest(connected(public.port, "GET /healthz HTTP/1.1", "Host: x", body=first + with_none))
    assert re.findall(r"HTTP/1\.1 (\d+)", both) == ["200", "200", "401"]
