"""Bodies of requests: what is too large, no JSON or no submission is refused; a submission is answered with its job."""

from __future__ import annotations

from typing import Any, Final

import pytest

import jobstate
from jobstate.testing.contract.situations import everything
from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api
from tests.adapters.refusing import assert_refused, raw, request

pytestmark = pytest.mark.parametrize("running_api", [Dialect.DOCS], indirect=True, scope="module")

JSON: Final = {"Content-Type": "application/json"}
LIMIT: Final = 2 * 1024 * 1024


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(untouched: Api) -> None:
    for method, path in (
        ("POST", "/jobs"),
        ("PUT", "/jobs/1/stop"),
        ("DELETE", "/jobs?status=terminal"),
        ("GET", "/jobs"),
    ):
        for length in (LIMIT + 1, 10_000_000, 10**18):
            answer = raw(untouched.server, request(method, path, {**JSON, "Content-Length": str(length)}))
            assert_refused(answer, 413, "PAYLOAD_TOO_LARGE", "the body is too large")


def test_a_body_in_chunks_is_refused_as_soon_as_it_is_too_much(untouched: Api) -> None:
    head = request("POST", "/jobs", {**JSON, "Transfer-Encoding": "chunked"})
    chunk = b"%x\r\n%s\r\n" % (LIMIT // 2, b" " * (LIMIT // 2))
    answer = raw(untouched.server, head + chunk + chunk + b"1\r\n \r\n")
    assert_refused(answer, 413, "PAYLOAD_TOO_LARGE", "the body is too large")


def test_the_largest_body_is_read_and_judged_by_what_it_says(untouched: Api) -> None:
    body = b'{"kind": 1}'.ljust(LIMIT)
    answer = untouched.server.ask("POST", "/jobs", raw=body, headers=JSON)
    assert_refused(answer, 400, "INVALID_REQUEST", "kind: must be text")


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/ld+json", "json", ""],
)
def test_a_body_that_is_not_said_to_be_json_is_refused(untouched: Api, media: str) -> None:
    body = b'{"kind": "extract"}'
    for method, path in (("POST", "/jobs"), ("PUT", "/jobs/1/stop"), ("DELETE", "/jobs/1")):
        headers = {"Content-Type": media} if media else {}
        assert_refused(untouched.server.ask(method, path, raw=body, headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE")


def nested(depth: int) -> bytes:
    return b'{"kind": "a", "descriptor": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "body: is required"),
        (b" ", "body: is not JSON"),
        (b"{", "body: is not JSON"),
        (b"{'kind': 'a'}", "body: is not JSON"),
        (b'{"kind": "a"} x', "body: is not JSON"),
        (b"\xff\xfe", "body: is not JSON"),
        (b'{"kind": "\xff"}', "body: must be JSON in UTF-8"),
        (b"[]", "body: must be a JSON object"),
        (b"null", "body: must be a JSON object"),
        (b"1", "body: must be a JSON object"),
        (b'"kind"', "body: must be a JSON object"),
        (b"{}", "kind: is required"),
        (b'{"kind": null}', "kind: must be text"),
        (b'{"kind": 1}', "kind: must be text"),
        (b'{"kind": ["a"]}', "kind: must be text"),
        (b'{"kind": ""}', "kind: must not be empty"),
        (b'{"kind": "a\\nb"}', "kind: must be printable text"),
        (b'{"kind": "a\\u0000"}', "kind: must be printable text"),
        (b'{"kind": "\\u2028"}', "kind: must be printable text"),
        (b'{"kind": "\\ud800"}', "kind: must not contain lone surrogates"),
        (b'{"kind": "%s"}' % (b"x" * 256), "kind: must have at most 255 characters"),
        (b'{"kind": "a", "descriptor": null}', "descriptor: must be a JSON object"),
        (b'{"kind": "a", "descriptor": []}', "descriptor: must be a JSON object"),
        (b'{"kind": "a", "descriptor": "{}"}', "descriptor: must be a JSON object"),
        (b'{"kind": "a", "descriptor": {"n": NaN}}', "descriptor.n: must be a finite number"),
        (b'{"kind": "a", "descriptor": {"n": [-Infinity]}}', "descriptor.n[0]: must be a finite number"),
        (b'{"kind": "a", "descriptor": {"n": 1e999}}', "descriptor.n: must be a finite number"),
        (b'{"kind": "a", "descriptor": {"n": %s}}' % (b"9" * 5000), "numbers of so many digits"),
        (nested(101), "descriptor: must not be nested deeper than 100 levels"),
        (nested(200), "descriptor: must not be nested deeper than 100 levels"),
        (nested(100_000), "thousands of levels"),
        (b'{"kind": "a", "descriptor": {"t": "\\ud800"}}', "descriptor.t: must not contain lone surrogates"),
        (b'{"kind": "a", "descriptor": {"\\udfff": 1}}', "descriptor: must not contain lone surrogates"),
        (b'{"kind": "a", "descriptor": {"t": "\\u0000"}}', "descriptor.t: must not contain NUL"),
        (
            b'{"kind": "a", "descriptor": {"t": "%s"}}' % (b"x" * 1024 * 1024),
            "descriptor: must be at most 1048576 bytes",
        ),
        (b'{"kind": "a", "color": "red"}', "color: is not a field of this document"),
        (b'{"kind": "a", "state": "Completed"}', "state: is not a field of this document"),
        (b'{"kind": "a", "Kind": "a"}', "Kind: is not a field of this document"),
        (b'{"kind": "a", "node_id": null}', "node_id: must be text"),
        (b'{"kind": "a", "key": ""}', "key: must not be empty"),
        (b'{"kind": "a", "key": 1}', "key: must be text"),
        (b'{"kind": "a", "pipeline_id": ""}', "pipeline_id: must not be empty"),
        (b'{"kind": "a", "labels": []}', "labels: must be a JSON object"),
        (b'{"kind": "a", "labels": {"a": 1}}', "labels.a: must be text"),
        (b'{"kind": "a", "labels": {"": "b"}}', "labels: names must not be empty"),
        (b'{"kind": "a", "labels": {"a\\n": "b"}}', "labels: names must be printable text"),
        (
            b'{"kind": "a", "labels": {%s}}' % b", ".join(b'"%d": ""' % n for n in range(65)),
            "labels: must have at most 64",
        ),
        (b'{"kind": "a", "priority": "1"}', "priority: must be an integer"),
        (b'{"kind": "a", "priority": 1.5}', "priority: must be an integer"),
        (b'{"kind": "a", "priority": true}', "priority: must be an integer"),
        (b'{"kind": "a", "priority": 2147483649}', "priority: must be at most 2147483648"),
        (b'{"kind": "a", "priority": -99999999999999999999}', "priority: must be at least -2147483648"),
        (b'{"kind": "a", "available_at": 1700000000}', "available_at: must be text"),
        (b'{"kind": "a", "available_at": "noon"}', "available_at: 'noon' is not a time"),
        (b'{"kind": "a", "available_at": "2030-01-01T00:00:00"}', "is not a time with a zone"),
        (b'{"kind": "a", "hold": 1}', "hold: must be true or false"),
        (b'{"kind": "a", "hold": "true"}', "hold: must be true or false"),
        (b'{"kind": "a", "parallelism": 0}', "parallelism: must be at least 1"),
        (b'{"kind": "a", "parallelism": 1000001}', "parallelism: must be at most 1000000"),
        (b'{"kind": "a", "max_attempts": 0}', "max_attempts: must be at least 1"),
        (b'{"kind": "a", "retry": []}', "retry: must be a JSON object"),
        (b'{"kind": "a", "retry": {"initial": "5s"}}', "retry.initial: must be a number"),
        (b'{"kind": "a", "retry": {"initial": -1}}', "retry.initial: must be at least 0"),
        (b'{"kind": "a", "retry": {"initial": 9, "cap": 8}}', "retry.initial: must not be greater than retry.cap"),
        (b'{"kind": "a", "retry": {"cap": 31536001}}', "retry.cap: must be at most 31536000"),
        (b'{"kind": "a", "retry": {"factor": 0.5}}', "retry.factor: must be at least 1"),
        (b'{"kind": "a", "retry": {"jitter": true}}', "retry.jitter: must be a number"),
        (b'{"kind": "a", "retry": {"healthy_after": NaN}}', "retry.healthy_after: must be a finite number"),
        (b'{"kind": "a", "retry": {"fatal": [""]}}', "retry.fatal: must not be empty"),
        (b'{"kind": "a", "retry": {"pause": 1}}', "retry.pause: is not a field of this document"),
    ],
)
def test_a_submission_refuses_what_it_cannot_mean(untouched: Api, body: bytes, said: str) -> None:
    answer = untouched.server.ask("POST", "/jobs", raw=body, headers=JSON)
    assert_refused(answer, 400, "INVALID_REQUEST", said)


def test_a_submission_is_answered_with_the_job_and_where_it_is(api: Api) -> None:
    fields = {
        "kind": "extract ✓",
        "descriptor": {"n": 2**80, "deep": {"a": [1, None, True, 1.5, "\U0001f600"]}},
        "node_id": "worker-01",
        "key": "k",
        "pipeline_id": "p",
        "labels": {"team": "data", "ü": ""},
        "priority": -5,
        "parallelism": 4,
        "max_attempts": 7,
    }
    answer = api.server.ask("POST", "/jobs", body={**fields, "available_at": "2030-01-31T12:00:00+01:00", "hold": True})
    assert (answer.status, answer.headers["location"]) == (201, f"/jobs/{answer.json['id']}")
    assert {name: answer.json[name] for name in fields} == fields
    assert (answer.json["available_at"], answer.json["state"]) == ("2030-01-31T11:00:00.000000Z", "Created")
    assert api.ask("GET", answer.headers["location"]).json == answer.json


def test_a_submission_brings_its_retry_policy_and_leaves_out_what_is_as_by_default(api: Api) -> None:
    for given, kept in (
        ({"initial": 5, "fatal": ["KeyError"]}, jobstate.RetryPolicy(5, fatal=(KeyError,))),
        ({}, jobstate.RetryPolicy()),
        (None, jobstate.RetryPolicy()),
    ):
        answer = api.server.ask("POST", "/jobs", body={"kind": "a", "retry": given})
        assert (answer.status, api.store.get(answer.json["id"]).retry) == (201, kept)


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "APPLICATION/JSON", " application/json "])
def test_a_submission_may_say_json_in_any_way(api: Api, media: str) -> None:
    answer = api.server.ask("POST", "/jobs", raw=b'{"kind": "a"}', headers={"Content-Type": media})
    assert answer.status == 201


def test_a_submission_again_is_answered_with_the_live_job_if_it_is_the_same(api: Api) -> None:
    body = {"kind": "extract", "key": "k", "descriptor": {"a": 1, "b": [2.0]}}
    first = api.server.ask("POST", "/jobs", body=body)
    same = {**body, "descriptor": {"b": [2], "a": 1.0}, "priority": 9}
    again = api.server.ask("POST", "/jobs", body=same)
    assert (again.status, again.json, again.headers["location"]) == (200, first.json, first.headers["location"])
    assert len(list(api.store.iterate("all"))) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "load"}, "its kind is 'extract'"),
        ({"descriptor": {"a": 2}}, "its descriptor differs"),
        ({"descriptor": {}}, "its descriptor differs"),
        ({}, "a stop is pending"),
    ],
)
def test_a_submission_that_is_another_job_than_the_live_one_with_its_key_is_a_duplicate(
    api: Api, change: dict[str, Any], said: str
) -> None:
    body = {"kind": "extract", "key": "k", "descriptor": {"a": 1}}
    first = api.server.ask("POST", "/jobs", body=body).json["id"]
    if not change:
        api.ask("PUT", f"/jobs/{first}/stop")
    before = everything(api.store)
    answer = api.server.ask("POST", "/jobs", body={**body, **change})
    assert_refused(answer, 409, "DUPLICATE_JOB", f"key 'k' is held by live job {first}: {said}")
    assert everything(api.store) == before
    api.ask("PUT", f"/jobs/{first}/stop?mode=force")
    assert api.server.ask("POST", "/jobs", body={**body, **change}).status == 201
