"""A server in a process of its own, and requests written byte by byte."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.adapters.server import Server

_SERVE = "import json, sys; from jobstate.http.server import serve; serve(sys.argv[1], **json.loads(sys.argv[2]))"


@dataclass(frozen=True)
class Served(Server):
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    told: str
    """What it said when it began."""

    def end(self, signal: int, within: float = 30) -> tuple[int, str]:
        """Send the signal; the exit code, and what it wrote to stderr since it began."""
        self.process.send_signal(signal)
        out, err = self.process.communicate(timeout=within)
        assert not out
        return self.process.returncode, err


@contextmanager
def served(path: Path, **options: Any) -> Iterator[Served]:
    """`serve` in a process, until the block ends."""
    process = start(path, **options)
    assert process.stderr is not None
    try:
        told = process.stderr.readline()
        found = re.search(r"(http://\S+:(\d+)) ", told)
        assert found, told + process.stderr.read()
        yield Served(found[1], int(found[2]), process, told)
    finally:
        process.kill()
        process.communicate()


def start(path: Path, **options: Any) -> subprocess.Popen[str]:
    """`serve` in a process."""
    command = [sys.executable, "-c", _SERVE, str(path), json.dumps({"port": 0, **options})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def connected(port: int, *lines: str, body: bytes = b"", host: str = "127.0.0.1") -> socket.socket:
    """A connection on which these lines were sent, and an empty one, and the body."""
    connection = socket.create_connection((host, port), timeout=30)
    connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1") + body)
    return connection


def head(connection: socket.socket) -> str:
    """Read until the head of the answer is there."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        more = connection.recv(4096)
        assert more, seen
        seen += more
    return seen.decode()


def rest(connection: socket.socket) -> str:
    """Read until the other side closes."""
    seen = b""
    with connection:
        while more := connection.recv(65536):
            seen += more
    return seen.decode()


def said(port: int, *lines: str, body: bytes = b"") -> str:
    """The whole answer to a request that is written byte by byte."""
    first, *others = lines
    return rest(connected(port, first, *others, "Connection: close", body=body))
