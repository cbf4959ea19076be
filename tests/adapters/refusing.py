"""What every refusal has in common, and requests that no HTTP library would send."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Final

from tests.adapters.server import Answer, Server

OF_THE_FRAMEWORK: Final = (
    *('"detail"', "<html", "Traceback", "pydantic", "Field required", "Input should", "String should"),
    *("Value error", "body -> ", "loc", "valid dictionary", "^["),
)
"""Signs of an answer that nobody worded."""


def assert_refused(answer: Answer, status: int, code: str, said: str = "") -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert answer.json.keys() == {"error_code", "error_message"}
    assert answer.json["error_code"] == code, answer.text
    message = answer.json["error_message"]
    assert said in message, message
    assert message.strip() and "\n" not in message
    assert not [sign for sign in OF_THE_FRAMEWORK if sign in answer.text], answer.text


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{n}: {v}" for n, v in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def raw(server: Server, data: bytes) -> Answer:
    """The answer to bytes that no HTTP library would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(data)
        found = HTTPResponse(connection)
        found.begin()
        text = found.read().decode()
        return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, text)
