"""A web server that answers as a test says: for what a real server of ours does only when something breaks."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Scripted:
    """The server, and what it was asked."""

    url: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


def answer(status: int, body: object = None, kind: str = "application/json", **headers: str) -> Step:
    """Answer with a JSON document, or with text as it is."""
    data = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()

    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if body is not None:
            handler.send_header("Content-Type", kind)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if status != 204:
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return step


def problem(status: int, code: str, message: str, fields: object = None, **headers: str) -> Step:
    """Answer as our server refuses."""
    if fields is not None:
        headers["X_Jobstate_Error_Fields"] = json.dumps(fields)
    return answer(status, {"error_code": code, "error_message": message}, **headers)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half_an_answer(handler: BaseHTTPRequestHandler) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": 1')
    handler.wfile.flush()
    hang_up(handler)


def no_http(handler: BaseHTTPRequestHandler) -> None:
    """Speak something else."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.wfile.flush()
    hang_up(handler)


@contextmanager
def scripted(steps: Sequence[Step], tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A server that takes a step for each request; the last one for all that follow."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            with lock:
                step = steps[min(len(seen.asked), len(steps) - 1)]
                seen.asked.append((self.command, self.path))
                seen.headers.append(dict(self.headers))
            step(self)

        do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that go away, and handshakes that fail, are what is tested."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        seen = Scripted(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()
