"""What a client does when its server is away, busy, another program, or asks for a token."""

from __future__ import annotations

import itertools
import json
import logging
import os
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import jobstate
from jobstate import JobClient, ServerUnreachable, UnexpectedAnswer
from jobstate.client.connection import Connection
from jobstate.client.event_stream import Parser
from jobstate.domain.event import Actor
from jobstate.domain.job import Job
from jobstate.http import Settings
from jobstate.system import SystemClock
from jobstate.wire import documents, records
from tests.adapters.scripted import Step, answer, half_an_answer, hang_up, no_http, problem, scripted
from tests.adapters.server import serving
from tests.unit.building import one_per_state

pytestmark = pytest.mark.slow

Call = Callable[[JobClient], object]
JOB = Job(next(iter(one_per_state().values())))
A_JOB = answer(200, records.job_record(JOB))
STOPPED = answer(200, {"changed": False, "job": records.job_record(JOB), "expected_finish_us": None})
GONE = answer(204, X_Deleted_Count="1")
BUSY = problem(503, "STORE_BUSY", "jobs.db: busy", ["jobs.db", "is busy"], Retry_After="0")
TOKEN = "s3cret-t0ken"

SAFE: dict[str, tuple[Call, Step]] = {
    "get": (lambda client: client.get(1), A_JOB),
    "list": (lambda client: client.list(), answer(200, {"jobs": [], "next_cursor": None})),
    "progress": (lambda client: client.progress(1), answer(200, {"tables": {}})),
    "events": (lambda client: client.events(1), answer(200, {"events": []})),
    "workers": (lambda client: client.workers(), answer(200, {"workers": []})),
    "stop": (lambda client: client.stop(1), STOPPED),
    "delete": (lambda client: client.delete(1), GONE),
    "prune, dry run": (lambda client: client.prune(dry_run=True), GONE),
    "submit with a key": (lambda client: client.submit("load", key="k"), A_JOB),
}
UNSAFE: dict[str, tuple[Call, Step]] = {
    "submit": (lambda client: client.submit("load"), A_JOB),
    "schedule": (lambda client: client.schedule(1), A_JOB),
    "fail": (lambda client: client.fail(1, "why"), A_JOB),
    "prune": (lambda client: client.prune(), GONE),
}


def connected(url: str, **options: Any) -> JobClient:
    return jobstate.connect(url, timeout=5, **options)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# Nobody there.


@pytest.mark.parametrize("name", [*SAFE, *UNSAFE, "wait", "watch"])
def test_a_missing_server_is_named_soon_with_what_to_do(nowhere: str, name: str) -> None:
    calls: dict[str, Call] = {
        "wait": lambda client: client.wait(1),
        "watch": lambda client: client.watch(),
        **{name: call for name, (call, _) in {**SAFE, **UNSAFE}.items()},
    }
    began = time.monotonic()
    with connected(nowhere) as client, pytest.raises(ServerUnreachable) as missing:
        calls[name](client)
    assert time.monotonic() - began < 2
    assert str(missing.value) == (
        f"{nowhere}: the server cannot be reached (Connection refused); "
        "start `jobstate serve` there, or check --admin-url"
    )
    assert missing.value.retryable
    assert (missing.value.url, isinstance(missing.value, jobstate.JobStateError)) == (nowhere, True)


def test_a_name_that_nobody_has_is_named() -> None:
    with connected("http://jobs.invalid:1610") as client, pytest.raises(ServerUnreachable, match=r"jobs\.invalid"):
        client.get(1)


class UntilItIsThere(SystemClock):
    """A clock whose first pause lasts until a server has been started; no time passes while it starts."""

    def __init__(self, start: Callable[[], object]) -> None:
        self._start = start
        self._paused = 0.0
        self.pauses = 0

    def monotonic(self) -> float:
        return self._paused

    def sleep(self, seconds: float) -> None:
        self.pauses += 1
        self._paused += seconds
        if self.pauses == 1:
            self._start()


def test_a_server_that_comes_soon_is_met(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with jobstate.open(tmp_path / "jobs.db") as store, ExitStack() as after:
        clock = UntilItIsThere(lambda: after.enter_context(serving(store, port=port)))
        client = JobClient(Connection(f"http://127.0.0.1:{port}", None, 10.0, clock), Actor("ana"))
        assert client.submit("load").id == 1
        assert clock.pauses == 1
        client.close()


def test_a_server_that_says_nothing_is_given_up_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = jobstate.connect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        began = time.monotonic()
        with pytest.raises(ServerUnreachable, match="did not answer in time; start"):
            client.get(1)
        with pytest.raises(ServerUnreachable, match="not known, so look before you repeat it"):
            client.submit("load")
        assert 0.6 <= time.monotonic() - began < 2
        client.close()


# Connections that break, stores that are busy.


@pytest.mark.parametrize("trouble", [hang_up, half_an_answer, BUSY])
@pytest.mark.parametrize("name", SAFE)
def test_what_may_be_done_twice_is_asked_again(name: str, trouble: Step) -> None:
    call, done = SAFE[name]
    with scripted([trouble, done]) as server, connected(server.url) as client:
        call(client)
    assert len(server.asked) == 2
    assert server.asked[0] == server.asked[1]


@pytest.mark.parametrize("trouble", [hang_up, half_an_answer, BUSY])
@pytest.mark.parametrize("name", UNSAFE)
def test_what_may_not_be_done_twice_is_asked_once(name: str, trouble: Step) -> None:
    call, done = UNSAFE[name]
    with scripted([trouble, done]) as server, connected(server.url) as client:
        with pytest.raises(jobstate.JobStateError) as lost:
            call(client)
        assert len(server.asked) == 1
    if trouble is BUSY:
        assert isinstance(lost.value, jobstate.StoreBusy)
    else:
        assert isinstance(lost.value, ServerUnreachable)
        assert "whether the request was carried out is not known" in str(lost.value)


@pytest.mark.parametrize(("trouble", "error"), [(hang_up, ServerUnreachable), (BUSY, jobstate.StoreBusy)])
def test_asking_again_has_an_end(trouble: Step, error: type[Exception]) -> None:
    with scripted([trouble]) as server, connected(server.url) as client:
        began = time.monotonic()
        with pytest.raises(error):
            client.get(1)
        assert 2 <= len(server.asked) <= 5
        assert time.monotonic() - began < 3


def test_a_busy_store_is_left_alone_for_as_long_as_it_says() -> None:
    later = problem(503, "STORE_BUSY", "busy", ["jobs.db", "is busy"], Retry_After="1")
    with scripted([later, A_JOB]) as server, connected(server.url) as client:
        began = time.monotonic()
        client.get(1)
        assert 1 <= time.monotonic() - began < 10


# Somebody else there.

PAGE = "<html><body>It works!</body></html>"


@pytest.mark.parametrize(
    ("step", "status", "told"),
    [
        (answer(200, PAGE, "text/html"), 200, "sent text/html"),
        (answer(404, PAGE, "text/html"), 404, "sent text/html"),
        (answer(500, "Traceback", "text/plain"), 500, "sent text/plain"),
        (answer(302, None, Location="http://127.0.0.1:1/elsewhere"), 302, "sent no type"),
        (answer(200, {"hello": "world"}), 200, "does not understand"),
        (answer(200, []), 200, "does not understand"),
        (answer(200, None), 200, "does not understand"),
        (answer(200, {**records.job_record(JOB), "state": "Sleeping"}), 200, "does not understand"),
        (answer(400, {"detail": "no"}), 400, "not an answer of jobstate"),
        (no_http, None, "does not speak HTTP"),
    ],
)
def test_another_program_on_that_port_is_recognised(step: Step, status: int | None, told: str) -> None:
    with scripted([step]) as server, connected(server.url, token=TOKEN) as client:
        for call in (client.get, client.schedule):
            with pytest.raises(UnexpectedAnswer, match=told) as found:
                call(1)
            assert (found.value.status, found.value.code) == (status, None)
            assert str(found.value).endswith("is this the address of a `jobstate serve`?")
        with pytest.raises(UnexpectedAnswer):
            client.watch()
        assert len(server.asked) == 3


@pytest.mark.parametrize("sent", ["data: {}\n\n", "data: nonsense\n\n", "data: []\n\n"])
def test_an_event_that_is_none_is_an_unexpected_answer(sent: str) -> None:
    with scripted([answer(200, ": connected\n\n" + sent, "text/event-stream")]) as server:
        client = connected(server.url)
        watching = client.watch()
        with pytest.raises(UnexpectedAnswer, match="sent an event"):
            next(watching)
        client.close()


def test_a_deletion_that_does_not_say_what_it_did_is_an_unexpected_answer() -> None:
    with scripted([answer(204)]) as server, connected(server.url) as client:
        calls: list[Callable[[], object]] = [lambda: client.delete(1), client.prune]
        for call in calls:
            with pytest.raises(UnexpectedAnswer, match="X-Deleted-Count"):
                call()


@pytest.mark.parametrize(
    ("status", "retryable"), [(502, True), (503, True), (504, True), (429, True), (404, False), (500, False)]
)
def test_what_a_proxy_says_while_its_server_is_away_may_be_repeated(status: int, retryable: bool) -> None:
    with scripted([answer(status, PAGE, "text/html")]) as server, connected(server.url) as client:
        with pytest.raises(UnexpectedAnswer) as found:
            client.get(1)
        assert found.value.retryable is retryable


def test_a_code_of_tomorrow_is_told_as_it_came() -> None:
    step = problem(418, "JOB_ASLEEP", "the job sleeps\x1b[31m\n until noon", ["x"])
    with scripted([step]) as server, connected(server.url) as client, pytest.raises(UnexpectedAnswer) as found:
        client.get(1)
    assert (found.value.status, found.value.code, found.value.retryable) == (418, "JOB_ASLEEP", False)
    assert str(found.value) == f"{server.url}: 418 JOB_ASLEEP: the job sleeps [31m  until noon"


@pytest.mark.parametrize("fields", ["", "nonsense", "7", "{}", "[]", '["x", "y", "z"]', "[1, 2"])
def test_an_error_whose_fields_are_lost_still_says_what_the_server_said(fields: str) -> None:
    step = answer(409, {"error_code": "JOB_CONFLICT", "error_message": "job 1 is live"}, X_Jobstate_Error_Fields=fields)
    with scripted([step]) as server, connected(server.url) as client, pytest.raises(UnexpectedAnswer) as found:
        client.delete(1)
    assert (found.value.code, found.value.message) == ("JOB_CONFLICT", "job 1 is live")


def test_the_new_errors_survive_a_pickle() -> None:
    for error in (
        ServerUnreachable("http://x", "away"),
        UnexpectedAnswer("http://x", 502, "C", "m"),
        UnexpectedAnswer("http://x", None, None, "m"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"], ids=repr)
def test_a_stream_may_be_cut_anywhere_and_nothing_is_told_twice_or_lost(tmp_path: Path, ending: str) -> None:
    with jobstate.open(tmp_path / "jobs.db") as store:
        for _ in range(3):
            store.submit("lötet")
        told = list(store.watch(timeout=0))
    texts = [json.dumps(documents.event_document(event), ensure_ascii=False) for event in told]
    blocks = [f"id: {number}\nevent: x\ndata: {text}\n\n" for number, text in enumerate(texts, 1)]

    def stream(after: int) -> str:
        return ": connected\n\n" + "".join(blocks[after:]) + f"id: {len(blocks)}\n\n"

    for place in range(0, len(stream(0)), 67):

        def step(handler: BaseHTTPRequestHandler, place: int = place) -> None:
            after = int(parse_qs(urlsplit(handler.path).query)["after"][0])
            sent = stream(after)[:place] if len(server.asked) == 1 else stream(after)
            answer(200, sent.replace("\n", ending), "text/event-stream", Connection="close")(handler)

        with scripted([step]) as server, connected(server.url) as client:
            assert list(client.watch(timeout=0.15)) == told, place


@example(text="a1\r\nö:2\r\n\r\n", sizes=[1])
@given(text=st.text(alphabet="aö:\n\r\ufeff", max_size=40), sizes=st.lists(st.integers(1, 5), min_size=1))
def test_how_a_stream_is_cut_into_pieces_does_not_matter(text: str, sizes: list[int]) -> None:
    sent = text.replace("a", "data:").replace("ö:", "id:").encode()
    whole = list(Parser().feed(sent))
    parser, pieces, place = Parser(), [], 0
    for size in itertools.cycle(sizes):
        if place >= len(sent):
            break
        pieces += list(parser.feed(sent[place : place + size]))
        place += size
    assert pieces == whole


def _open_stream(handler: BaseHTTPRequestHandler, *pieces: str, every: float) -> None:
    """Send a stream that has no end, piece by piece, until the client hangs up."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        for piece in pieces:
            handler.wfile.write(f"{len(piece):x}\r\n{piece}\r\n".encode())
            handler.wfile.flush()
            time.sleep(every)
    except OSError:
        handler.close_connection = True


def test_a_stream_that_falls_silent_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobstate.client.event_stream._SILENCE", 0.3)

    def silent(handler: BaseHTTPRequestHandler) -> None:
        _open_stream(handler, ": connected\n\nid: 7\n\n", ": late\n\n", every=1)

    over = answer(200, ": connected\n\nid: 7\n\n", "text/event-stream")
    with scripted([silent, over]) as server, connected(server.url) as client:
        assert list(client.watch(after=None, timeout=0.8)) == []
    assert [path for _, path in server.asked[:2]] == ["/events", "/events?after=7"]


def test_signs_of_life_are_no_events() -> None:
    def lively(handler: BaseHTTPRequestHandler) -> None:
        _open_stream(handler, ": connected\n\n", "id: 7\n\n", *[": still here\n\n"] * 100, every=0.1)

    with scripted([lively]) as server, connected(server.url) as client:
        began = time.monotonic()
        assert list(client.watch(timeout=0.5)) == []
        assert 0.5 <= time.monotonic() - began < 2


# Tokens.


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A server that wants a token."""
    with jobstate.open(tmp_path / "jobs.db") as store, serving(store, Settings(token=TOKEN)) as server:
        yield server.url


def test_the_right_token_opens(guarded: str) -> None:
    with connected(guarded, token=TOKEN) as client:
        assert client.submit("load").id == 1
        assert next(client.watch()).job_id == 1


@pytest.mark.parametrize("token", [None, "wr0ng-t0ken"])
def test_a_missing_or_wrong_token_is_told_with_what_to_do_and_never_shown(
    guarded: str, token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with connected(guarded, token=token) as client:
        for call in (lambda: client.get(1), lambda: client.submit("load"), client.watch):
            with pytest.raises(UnexpectedAnswer) as refused:
                call()
            assert (refused.value.status, refused.value.code) == (401, "UNAUTHORIZED")
            assert "JOBSTATE_AUTH_TOKEN" in str(refused.value)
            assert not refused.value.retryable
            shown = "".join(traceback.format_exception(refused.value)) + repr(client) + caplog.text
            assert TOKEN not in shown
            assert token is None or token not in shown


def test_a_token_that_is_sent_back_is_not_shown() -> None:
    echo = problem(403, "FORBIDDEN", f"your header was: Bearer {TOKEN}")
    with scripted([echo]) as server, connected(server.url, token=TOKEN) as client:
        with pytest.raises(UnexpectedAnswer, match=r"Bearer \[token\]") as found:
            client.get(1)
        assert TOKEN not in repr(found.value)
        assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that no machine trusts, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=jobstate-test"
    )
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def test_a_certificate_that_this_machine_does_not_trust_is_refused_and_one_that_it_does_is_not(
    certificate: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with scripted([A_JOB], tls=context) as server:
        with connected(server.url, token=TOKEN) as client, pytest.raises(ServerUnreachable, match=r"(?i)certificate"):
            client.get(1)
        assert server.asked == []
        script = "import sys, jobstate; print(jobstate.connect(sys.argv[1]).get(1).id)"
        environment = {**os.environ, "SSL_CERT_FILE": str(certificate)}
        trusting = subprocess.run(
            [sys.executable, "-c", script, server.url], capture_output=True, text=True, env=environment, timeout=60
        )
        assert trusting.stdout == f"{JOB.id}\n", trusting.stderr
