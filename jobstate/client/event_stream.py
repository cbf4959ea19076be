"""Server-sent events: the client reads them over one connection after another, and resumes after the last event."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from jobstate.client.connection import BRIEFLY, Connection
from jobstate.client.long_poll import PATIENCE
from jobstate.domain.event import Event
from jobstate.system import Clock
from jobstate.wire import records

_SILENCE: Final = 45.0
"""Seconds without a byte after which a connection counts as broken; the server sends a comment every 15."""
_CATCHING_UP: Final = 10.0
"""Seconds that past events may take to arrive, however short the `timeout`."""
_PAUSE: Final = 0.1
"""Seconds from one connection to the next."""
_SHORTEST: Final = 0.001
_PIECE: Final = 64 * 1024


class Message(NamedTuple):
    """One message of the stream. An id without data: the server has sent every event up to that id."""

    id: str | None
    data: str | None


class Parser:
    """Parses bytes into messages, as the standard defines them; it ignores comments, event names and retry times."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._ended_by_return = False
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Yield the messages that this piece completes."""
        text = self._decoder.decode(piece)
        if self._ended_by_return and text:
            text, self._ended_by_return = text.removeprefix("\n"), False  # the second half of a line break
        self._ended_by_return |= text.endswith("\r")
        text = self._rest + text.replace("\r\n", "\n").replace("\r", "\n")
        *lines, self._rest = text.split("\n")
        for line in lines:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            elif name == "id":
                self._id = value.removeprefix(" ")
            elif not line:
                yield Message(self._id, "\n".join(self._data) if self._data else None)
                self._id, self._data = None, []


class IdleTimer:
    """Measures the seconds without an event, for `timeout`; it does not run out before all past events have arrived."""

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._since = clock.monotonic()
        self._catching_up_until: float | None = None

    def connected(self) -> None:
        """The server has accepted a connection, and sends past events first."""
        self._catching_up_until = self._clock.monotonic() + _CATCHING_UP

    def caught_up(self) -> None:
        """All past events have arrived."""
        self._catching_up_until = None

    def restart(self) -> None:
        """An event arrived."""
        self._since = self._clock.monotonic()

    def left(self, at_most: float) -> float:
        """Seconds until the timeout, at most `at_most`; 0 or less once it has passed."""
        if self._timeout is None:
            return at_most
        ends = self._since + self._timeout
        if self._catching_up_until is not None:
            ends = max(ends, self._catching_up_until)
        return min(at_most, ends - self._clock.monotonic())


def watch(connection: Connection, after: int | None, job_id: int | None, timeout: float | None) -> Iterator[Event]:
    """Every event after `after`, then each new one; see `JobClient.watch`. It has connected when it returns."""
    events = _events(connection, after, job_id, timeout)
    next(events, None)  # connect now, not at the first `next`: with `after` = None, events in between would be lost
    return (event for event in events if event is not None)


def _events(
    connection: Connection, after: int | None, job_id: int | None, timeout: float | None
) -> Iterator[Event | None]:
    """None once, when the server has sent its first message; then events."""
    clock, begun = connection.clock, False
    idle = IdleTimer(clock, timeout)
    patience = BRIEFLY
    while True:
        response = connection.open_stream("/events", {"after": after, "job_id": job_id}, patience=patience)
        idle.connected()
        try:
            for message in _messages(response, idle):
                if not begun:
                    begun = True
                    yield None
                    idle.restart()
                if message.id is not None and message.id.isascii() and message.id.isdigit():
                    after = int(message.id)
                if message.data is not None:
                    yield _event(connection, message.data)
                    idle.restart()
                elif message.id is not None:
                    idle.caught_up()
        finally:
            response.close()
        patience = idle.left(PATIENCE)
        if patience <= 0:
            return
        clock.sleep(min(_PAUSE, patience))


def _messages(response: BaseHTTPResponse, idle: IdleTimer) -> Iterator[Message]:
    """The messages of one connection, until it ends, breaks, falls silent or the timer runs out."""
    parser = Parser()
    while (left := idle.left(_SILENCE)) > 0:
        # When the server closes the connection after the answer, urllib3 drops the socket, and the timeout stays that
        # of the request: after that much silence the client connects again and resumes.
        socket = getattr(response.connection, "sock", None)
        if socket is not None:
            socket.settimeout(max(_SHORTEST, left))
        try:
            piece = response.read1(_PIECE)
        except HTTPError:
            return
        if not piece:
            return
        yield from parser.feed(piece)


def _event(connection: Connection, data: str) -> Event:
    try:
        return records.event_of(json.loads(data))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise connection.not_understood(200, "sent an event that this version does not understand") from error
