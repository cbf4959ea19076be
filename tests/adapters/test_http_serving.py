"""`serve` as a process: how it begins, what it refuses to begin, and how it ends."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

import jobstate
from benchmarks import crowd
from jobstate.http.server import serve
from jobstate.store.prune import PRUNE_BATCH
from tests.adapters.served import connected, head, rest, served, start
from tests.processes.team import eventually

pytestmark = pytest.mark.slow

SIGNALS = pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT], ids=lambda sent: sent.name)
HOST = "Host: 127.0.0.1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def test_it_says_on_stderr_where_it_is_and_answers_there(path: Path) -> None:
    with served(path, profile="sdk") as server:
        assert server.told == f"jobstate serves {path} at http://127.0.0.1:{server.port} (profile sdk)\n"
        assert server.ask("POST", "/jobs", body={"kind": "extract"}).json["status"] == "SCHEDULED"
        assert "next_cursor" not in server.ask("GET", "/jobs").json


@SIGNALS
def test_a_signal_ends_it_with_exit_code_0_though_a_stream_is_open_and_a_request_waits(
    path: Path, ending: signal.Signals
) -> None:
    with served(path) as server:
        server.ask("POST", "/jobs", body={"kind": "extract"})
        waiting = connected(server.port, "GET /jobs/1/wait HTTP/1.1", HOST)
        stream = connected(server.port, "GET /events HTTP/1.1", HOST)
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(b"GET /jo")
        head(stream)
        assert server.ask("GET", "/healthz").status == 200  # what came before it is under way
        began = time.monotonic()
        code, err = server.end(ending)
        assert time.monotonic() - began < 5
        assert (code, "Traceback" in err) == (0, False), err
        assert rest(stream).endswith("0\r\n\r\n")  # complete, not cut off
        assert rest(waiting).startswith("HTTP/1.1 503")
        half.close()
    with jobstate.open(path) as store:
        assert store.audit().ok


def test_a_signal_ends_it_though_a_client_sends_half_a_body_and_another_reads_nothing(path: Path) -> None:
    crowd.finished(path, 3000, history=True)
    with served(path) as server:
        half = connected(
            server.port, "POST /jobs HTTP/1.1", HOST, "Content-Type: application/json", "Content-Length: 99", body=b"{"
        )
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(b"GET /events?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head(deaf)
        code, err = server.end(signal.SIGTERM)
        assert (code, "Traceback" in err) == (0, False), err
        assert "REQUEST_TIMEOUT" in rest(half)
        deaf.close()


def test_a_signal_ends_a_long_prune_between_two_transactions(path: Path) -> None:
    jobs = 30_000
    crowd.finished(path, jobs, history=True)
    with jobstate.open(path) as store, served(path) as server:
        prune = connected(server.port, "DELETE /jobs?status=terminal HTTP/1.1", HOST)
        eventually(lambda: store.counts()[jobstate.State.COMPLETED] < jobs, within=60)
        code, err = server.end(signal.SIGTERM)
        assert (code, "Traceback" in err) == (0, False), err
        assert rest(prune).startswith("HTTP/1.1 503")
        left = store.counts()[jobstate.State.COMPLETED]
        assert 0 < left < jobs
        assert left % PRUNE_BATCH == 0
        assert not store.repository.history.check_file()


def test_a_port_in_use_is_an_error_that_names_it(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"in use.*127\.0\.0\.1.*{port}"):
            serve(str(path), port=port)
    assert not path.exists()


def test_a_port_that_is_none_is_refused(path: Path) -> None:
    with pytest.raises(jobstate.InvalidRequest, match="port"):
        serve(str(path), port=70_000)


def test_a_profile_that_is_none_is_refused(path: Path) -> None:
    with pytest.raises(jobstate.InvalidRequest, match="profile: must be one of docs, sdk"):
        serve(str(path), profile="pipeline")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
def test_a_host_that_others_can_reach_is_refused_without_a_token_before_it_listens(
    host: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_server", lambda *_, **__: pytest.fail("it listens"))
    with pytest.raises(jobstate.InvalidRequest, match=r"host.*set a token"):
        serve(str(path), host=host)
    assert not path.exists()


@pytest.mark.parametrize("token", ["", " ", "two words", "tokén", "new\nline", " padded"])
def test_a_token_that_no_header_can_carry_is_refused(token: str, path: Path) -> None:
    with pytest.raises(jobstate.InvalidRequest, match="token"):
        serve(str(path), token=token)


def test_it_listens_on_the_loopback_of_ipv6(path: Path) -> None:
    with served(path, host="::1") as server:
        assert server.told.endswith(f"at http://[::1]:{server.port} (profile docs)\n")
        assert server.ask("GET", "/healthz").status == 200


def test_it_serves_on_any_address_of_the_loopback(path: Path) -> None:
    with served(path, host="127.0.0.2") as server:
        assert server.ask("GET", "/healthz").status == 200


def test_with_a_token_it_serves_others_and_never_says_the_token(path: Path) -> None:
    secret = "s3cr3t-t0k3n"
    with served(path, host="0.0.0.0", token=secret) as server:
        bearer = {"Authorization": f"Bearer {secret}"}
        away = path.rename(path.with_name("away.db"))
        url = f"/jobs?token={secret}"
        assert server.ask("GET", url, headers={**bearer, "Host": "jobs.example.org"}).status == 503
        away.rename(path)
        assert server.ask("GET", "/jobs", headers=bearer).status == 200
        assert server.ask("GET", "/jobs", headers={"Authorization": f"Bearer {secret}x"}).status == 401
        connected(server.port, "GARBAGE", f"Authorization: Bearer {secret}").close()
        _, err = server.end(signal.SIGTERM)
    assert secret not in server.told + err
    assert "the file is missing" in err


def test_a_store_that_cannot_be_opened_is_an_error_and_no_server(path: Path) -> None:
    path.write_bytes(b"no database at all, but something else that is long enough" * 20)
    process = start(path)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"StoreCorrupt: {path}" in err
