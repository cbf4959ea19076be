"""What the pipeline dialect refuses: with the status, code and two keys of every refusal, and nothing is changed."""

from __future__ import annotations

import itertools
from typing import Final

import pytest

from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api
from tests.adapters.refusing import assert_refused, raw, request
from tests.adapters.test_http_refusals import NO_IDS

pytestmark = pytest.mark.parametrize("running_api", [Dialect.DOCS], indirect=True, scope="module")

JSON: Final = {"Content-Type": "application/json"}
LIMIT: Final = 2 * 1024 * 1024
INVALID: Final = "INVALID_QUERY_PARAMETERS"
RESCALE: Final = b'{"parallelism": 2}'
OF_A_JOB: Final = [
    ("GET", "/api/v1/jobs/{}", None),
    ("DELETE", "/api/v1/jobs/{}", None),
    ("GET", "/api/v1/jobs/{}/checkpoints", None),
    ("GET", "/api/v1/jobs/{}/checkpoints/chk_1", None),
    ("GET", "/api/v1/jobs/{}/metrics", None),
    ("GET", "/api/v1/jobs/{}/operators/source_1/metrics", None),
    ("GET", "/api/v1/jobs/{}/metric-groups", None),
    ("GET", "/api/v1/jobs/{}/logs", None),
    ("GET", "/api/v1/jobs/{}/errors", None),
    ("GET", "/api/v1/jobs/{}/output", None),
    ("POST", "/api/v1/jobs/{}/stop", None),
    ("POST", "/api/v1/jobs/{}/restart", None),
    ("POST", "/api/v1/jobs/{}/rescale", RESCALE),
]
NO_NAMES: Final = (
    *("job_", "job_0", "job_-1", "job_007", "job_1.0", "job_abc", "JOB_1", "Job_1", "job-1", "job1", "chk_1", "007"),
    *(f"job_{2**63}", "job_job_1", "job_%201", "%20job_1", "job_1%0A", "job_%D9%A3", "job_" + "9" * 5000, "job_1_0"),
)


@pytest.mark.parametrize(("method", "path", "body"), OF_A_JOB)
def test_what_is_no_id_is_an_invalid_job_id_everywhere(
    untouched: Api, method: str, path: str, body: bytes | None
) -> None:
    for text in (*NO_IDS, *NO_NAMES):
        answer = untouched.server.ask(method, path.format(text), raw=body, headers=JSON if body else None)
        assert_refused(answer, 400, "INVALID_JOB_ID", "job_id: must be such as job_7, or the number alone")


@pytest.mark.parametrize(("method", "path", "body"), OF_A_JOB)
def test_a_job_that_is_not_there_is_not_found_and_its_deletion_is_done(
    untouched: Api, method: str, path: str, body: bytes | None
) -> None:
    for job_id in (f"job_{10**6}", str(2**63 - 1)):
        answer = untouched.server.ask(method, path.format(job_id), raw=body, headers=JSON if body else None)
        if method == "DELETE":
            assert (answer.status, answer.text) == (204, "")
        else:
            assert_refused(answer, 404, "JOB_NOT_FOUND", f"there is no job {job_id.removeprefix('job_')}")


def test_a_checkpoint_that_is_none_or_not_there_or_of_another_job_is_refused(untouched: Api) -> None:
    job_id = next(iter(untouched.store.iterate("all"))).id
    for text in ("chk_", "chk_0", "job_1", "0", "-1", "1.5", "CHK_1", "chk_01", f"chk_{2**63}", "newest", "%00"):
        answer = untouched.ask("GET", f"/api/v1/jobs/{job_id}/checkpoints/{text}")
        assert_refused(answer, 400, "INVALID_CHECKPOINT_ID", "checkpoint_id: must be such as chk_7")
    for text in ("chk_999999", str(2**63 - 1)):
        answer = untouched.ask("GET", f"/api/v1/jobs/{job_id}/checkpoints/{text}")
        assert_refused(answer, 404, "CHECKPOINT_NOT_FOUND", f"of job {job_id}")


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("limit=0", "LIMIT_INVALID", "limit: must be at least 1"),
        ("limit=1001", "LIMIT_TOO_LARGE", "limit: must be at most 1000"),
        ("limit=ten", INVALID, "limit: must be an integer"),
        ("offset=-1", INVALID, "offset: must be at least 0"),
        ("offset=10001", INVALID, "offset: must be at most 10000; continue with `after`, or narrow the list"),
        (f"offset={'9' * 5000}", INVALID, "offset: must be at most 10000"),
        ("offset=", INVALID, "offset: must be an integer"),
        ("offset=1.0", INVALID, "offset: must be an integer"),
        ("sort=", INVALID, "sort: must be FIELD, -FIELD or FIELD:desc"),
        ("sort=id", INVALID, "sort: must be FIELD, -FIELD or FIELD:desc"),
        ("sort=state,run_id", INVALID, "sort: must be FIELD"),
        ("sort=created_at:down", INVALID, "sort: must be FIELD"),
        ("sort=-state&state=busy", INVALID, "state: has no word 'busy'"),
        ("state=", INVALID, "state: has no word ''; use active, all, completed, created, error, failed, finished"),
        ("running=1", INVALID, "running: must be true or false"),
        ("running=True", INVALID, "running: must be true or false"),
        ("running=", INVALID, "running: must be true or false"),
        ("pipeline_id=", INVALID, "pipeline_id: must not be empty"),
        ("pipeline_id=a%00b", INVALID, "pipeline_id: must be printable text"),
        ("after=0", INVALID, "after: must be such as job_7"),
        ("after=chk_1", INVALID, "after: must be such as job_7"),
        ("after=", INVALID, "after: must be such as job_7"),
        ("state=all&state=all", INVALID, "state: is given more than once"),
        ("other=1&other=2", INVALID, "other: is given more than once"),
    ],
)
def test_a_list_of_jobs_refuses_what_it_cannot_mean(untouched: Api, query: str, code: str, said: str) -> None:
    assert_refused(untouched.ask("GET", f"/api/v1/jobs?{query}"), 400, code, said)


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("limit=0", "LIMIT_INVALID", "limit: must be at least 1"),
        ("limit=1001", "LIMIT_TOO_LARGE", "limit: must be at most 1000"),
        ("offset=10001", INVALID, "offset: must be at most 10000"),
        ("completed=yes", INVALID, "completed: must be true or false"),
        ("completed=true&completed=true", INVALID, "completed: is given more than once"),
    ],
)
def test_a_list_of_checkpoints_refuses_what_it_cannot_mean(untouched: Api, query: str, code: str, said: str) -> None:
    job_id = next(iter(untouched.store.iterate("all"))).id
    assert_refused(untouched.ask("GET", f"/api/v1/jobs/{job_id}/checkpoints?{query}"), 400, code, said)


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        *(
            (f"{path}?{query}", code, said)
            for path in ("logs", "errors", "output")
            for query, code, said in (
                ("limit=0", "LIMIT_INVALID", "limit: must be at least 1"),
                ("limit=1001", "LIMIT_TOO_LARGE", "limit: must be at most 1000"),
                ("limit=ten", INVALID, "limit: must be an integer"),
                ("operator_id=", INVALID, "operator_id: must not be empty"),
                ("operator_id=a%00b", INVALID, "operator_id: must be printable text"),
                ("limit=1&limit=1", INVALID, "limit: is given more than once"),
                ("view=whole", INVALID, "view: must be 'document' or 'record'"),
            )
        ),
        ("logs?level=loud", INVALID, "level: must be one of info, warn, error, not 'loud'"),
        ("logs?level=", INVALID, "level: must be one of info, warn, error"),
        ("logs?level=info,", INVALID, "level: must be one of info, warn, error"),
        ("errors?level=info", INVALID, "level: must be one of error, warn, not 'info'"),
        ("logs?task_index=-1", INVALID, "task_index: must be at least 0"),
        ("logs?task_index=1.0", INVALID, "task_index: must be an integer"),
        *(
            (f"logs?{name}={text}", INVALID, f"{name}: ")
            for name in ("since", "until")
            for text in ("", "noon", "-1", "1.5", "253402300800000", "9" * 5000, "2026-01-31T12:00:00", "true")
        ),
        *(
            (f"{path}?before={text}", INVALID, "before: must be")
            for path in ("logs", "errors")
            for text in ("", "0", "log_0", "chk_1", "-1", "1.0", f"log_{2**63}", "LOG_1", "01")
        ),
        ("logs?after=-1", INVALID, "after: must be such as log_7"),
        ("logs?after=job_1", INVALID, "after: must be such as log_7"),
        ("output?offset=10001", INVALID, "offset: must be at most 10000"),
        ("output?format=xml", INVALID, "format: must be 'json' or 'csv'"),
        ("metrics?view=whole", INVALID, "view: must be 'document' or 'record'"),
        ("operators/a%00b/metrics", "INVALID_OPERATOR_ID", "operator_id: must be printable text"),
        (f"operators/{'x' * 256}/metrics", "INVALID_OPERATOR_ID", "operator_id: must have at most 255 characters"),
    ],
)
def test_what_jobs_report_is_not_shown_to_whom_asks_for_what_it_cannot_mean(
    untouched: Api, path: str, code: str, said: str
) -> None:
    job_id = next(iter(untouched.store.iterate("all"))).id
    assert_refused(untouched.ask("GET", f"/api/v1/jobs/{job_id}/{path}"), 400, code, said)


def test_an_operator_that_counted_nothing_is_not_found(untouched: Api) -> None:
    job_id = next(iter(untouched.store.iterate("all"))).id
    answer = untouched.ask("GET", f"/api/v1/jobs/{job_id}/operators/source_1/metrics")
    assert_refused(answer, 404, "OPERATOR_NOT_FOUND", f"job {job_id} has no metrics of an operator 'source_1'")


@pytest.mark.parametrize(
    ("verb", "body", "said"),
    [
        *(
            (verb, body, said)
            for verb in ("stop", "restart", "rescale")
            for body, said in (
                (b"{", "body: is not JSON"),
                (b"{'a': 1}", "body: is not JSON"),
                (b'"\xff"', "body: must be JSON in UTF-8"),
                (b"[]", "body: must be a JSON object"),
                (b'"checkpoint"', "body: must be a JSON object"),
                (b'{"n": %s}' % (b"9" * 5000), "numbers of so many digits"),
            )
        ),
        ("stop", b'{"force": true}', "force: is not a field of this document"),
        ("restart", b'{"parallelism": 2, "mode": "force"}', "mode: is not a field of this document"),
        ("rescale", b'{"parallelism": 2, "tasks": 2}', "tasks: is not a field of this document"),
        ("stop", b'{"mode": "FORCE"}', "mode: must be 'checkpoint', 'immediate' or 'force'"),
        ("stop", b'{"mode": null}', "mode: must be 'checkpoint', 'immediate' or 'force'"),
        ("stop", b'{"mode": 1}', "mode: must be "),
        ("stop", b'{"timeout_seconds": -1}', "timeout_seconds: must be at least 0"),
        ("stop", b'{"timeout_seconds": 1000000001}', "timeout_seconds: must be at most 1000000000"),
        ("stop", b'{"timeout_seconds": "30"}', "timeout_seconds: must be a number"),
        ("stop", b'{"timeout_seconds": true}', "timeout_seconds: must be a number"),
        ("stop", b'{"timeout_seconds": null}', "timeout_seconds: must be a number"),
        ("stop", b'{"timeout_seconds": NaN}', "timeout_seconds: must be a finite number"),
        ("stop", b'{"timeout_seconds": 1e999}', "timeout_seconds: must be a finite number"),
        ("stop", b'{"timeout_seconds": %s}' % (b"9" * 400), "timeout_seconds: must be "),
        ("restart", b'{"parallelism": 0}', "parallelism: must be at least 1"),
        ("restart", b'{"parallelism": 1000001}', "parallelism: must be at most 1000000"),
        ("restart", b'{"parallelism": "4"}', "parallelism: must be an integer"),
        ("restart", b'{"checkpoint_id": "job_1"}', "checkpoint_id: must be such as chk_7"),
        ("restart", b'{"checkpoint_id": ""}', "checkpoint_id: must be such as chk_7"),
        ("restart", b'{"checkpoint_id": 0}', "checkpoint_id: must be such as chk_7"),
        ("restart", b'{"checkpoint_id": true}', "checkpoint_id: must be such as chk_7"),
        ("restart", b'{"checkpoint_id": 1.5}', "checkpoint_id: must be such as chk_7"),
        ("restart", b'{"checkpoint_id": 9223372036854775808}', "checkpoint_id: must be such as chk_7"),
        ("rescale", b"", "body: is required"),
        ("rescale", b"null", "body: must be a JSON object"),
        ("rescale", b"{}", "parallelism: is required"),
        ("rescale", b'{"parallelism": null}', "parallelism: must be an integer"),
        ("rescale", b'{"parallelism": 0}', "parallelism: must be at least 1"),
        ("rescale", b'{"parallelism": 2.5}', "parallelism: must be an integer"),
        ("rescale", b'{"parallelism": true}', "parallelism: must be an integer"),
    ],
)
def test_a_body_refuses_what_it_cannot_mean(untouched: Api, verb: str, body: bytes, said: str) -> None:
    for job in untouched.store.iterate("all"):
        answer = untouched.server.ask("POST", f"/api/v1/jobs/job_{job.id}/{verb}", raw=body, headers=JSON)
        assert_refused(answer, 400, "INVALID_REQUEST", said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "body: is required"),
        (b"{}", "kind: is required"),
        (b'{"kind": ""}', "kind: must not be empty"),
        (b'{"kind": "a", "state": "Finished"}', "state: is not a field of this document"),
        (b'{"kind": "a", "available_at": "noon"}', "available_at: 'noon' is not a time"),
        (b'{"kind": "a", "available_at": -1}', "available_at: must be milliseconds since 1970 UTC"),
        (b'{"kind": "a", "available_at": true}', "available_at: must be milliseconds since 1970 UTC"),
        (b'{"kind": "a", "available_at": 1.5}', "available_at: must be milliseconds since 1970 UTC"),
        (b'{"kind": "a", "available_at": 253402300800000}', "available_at: must be milliseconds since 1970 UTC"),
        (b'{"kind": "a", "descriptor": {"t": "\\u0000"}}', "descriptor.t: must not contain NUL"),
    ],
)
def test_a_submission_refuses_what_it_cannot_mean(untouched: Api, body: bytes, said: str) -> None:
    answer = untouched.server.ask("POST", "/api/v1/jobs", raw=body, headers=JSON)
    assert_refused(answer, 400, "INVALID_REQUEST", said)


CHANGING: Final = ("", "/job_1/stop", "/job_1/restart", "/job_1/rescale")


@pytest.mark.parametrize("path", CHANGING)
def test_a_page_from_elsewhere_a_body_of_another_sort_and_one_that_is_too_large_are_refused(
    untouched: Api, path: str
) -> None:
    ask = untouched.server.ask
    path = f"/api/v1/jobs{path}"
    for origin in ("https://evil.example", "null"):
        assert_refused(ask("POST", path, headers={"Origin": origin}), 403, "FORBIDDEN")
    assert ask("POST", path, headers={"Host": "evil.example"}).status == 403
    for media in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert_refused(ask("POST", path, raw=RESCALE, headers=media), 415, "UNSUPPORTED_MEDIA_TYPE")
    announced = request("POST", path, {**JSON, "Content-Length": str(LIMIT + 1)})
    assert_refused(raw(untouched.server, announced), 413, "PAYLOAD_TOO_LARGE")
    assert_refused(ask("POST", f"{path}?a=1&a=2"), 400, "INVALID_REQUEST", "a: is given more than once")
    for header in ("X-Jobstate-Actor", "X-Jobstate-Reason"):
        assert_refused(ask("POST", path, body={"parallelism": 2}, headers={header: ""}), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/api/", "/api/v1", "/api/v1/", "/api/v1/jobs/", "/api/v2/jobs", "/API/v1/jobs", "//api/v1/jobs"),
        *("/api/v1/jobs/job_1/", "/api/v1/jobs/job_1/stop/", "/api/v1/jobs/job_1/stops", "/api/v1/jobs//stop"),
        *("/api/v1/jobs/job_1/logs/", "/api/v1/jobs/job_1/operators/a", "/api/v1/jobs/job_1/operators//metrics"),
        *("/api/v1/jobs/job_1/checkpoints/", "/api/v1/jobs/job_1/checkpoints/chk_1/x", "/api/v1/../jobs"),
    ],
)
def test_a_path_that_is_not_there_is_not_found_by_any_method(untouched: Api, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "FOO"):
        assert_refused(raw(untouched.server, request(method, path)), 404, "NOT_FOUND", "no such path")


def test_query_keys_that_nobody_knows_are_ignored(untouched: Api) -> None:
    job_id = next(iter(untouched.store.iterate("all"))).id
    of_job = f"/api/v1/jobs/{job_id}"
    for path, query in itertools.product(
        ("/api/v1/jobs", of_job, f"{of_job}/checkpoints"), ("limits=0", "LIMIT=0", "status=busy", "=", "%00=%FF")
    ):
        assert untouched.ask("GET", f"{path}?{query}").json == untouched.ask("GET", path).json
