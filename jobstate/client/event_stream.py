"""Server-sent events: what a server tells as it happens, read over as many connections as it takes."""

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
"""Seconds without even a comment, of which there is one every 15, after which a connection is taken for dead."""
_CATCHING_UP: Final = 10.0
"""Seconds for what happened already to come, however short the `timeout`."""
_PAUSE: Final = 0.1
"""Seconds from one connection to the next."""
_SHORTEST: Final = 0.001
_PIECE: Final = 64 * 1024


class Message(NamedTuple):
    """What a blank line ends. An id without data says that all that happened up to there has been told."""

    id: str | None
    data: str | None


class Parser:
    """Bytes in, messages out, as the standard has it; comments, names and pauses are passed over."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._ended_by_return = False
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that this piece completes."""
        text = self._decoder.decode(piece)
        if self._ended_by_return and text:
            text, self._ended_by_return = text.removeprefix("\n"), False  # the second half of a line's end
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


class Idle:
    """Counts the seconds without an event. They end nothing before the server has told all that happened before."""

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._since = clock.monotonic()
        self._catching_up_until: float | None = None

    def connected(self) -> None:
        """The server begins to tell."""
        self._catching_up_until = self._clock.monotonic() + _CATCHING_UP

    def caught_up(self) -> None:
        """All that happened before has been told."""
        self._catching_up_until = None

    def restart(self) -> None:
        """There was an event."""
        self._since = self._clock.monotonic()

    def left(self, at_most: float) -> float:
        """How many seconds are left; not above 0 when it is over."""
        if self._timeout is None:
            return at_most
        ends = self._since + self._timeout
        if self._catching_up_until is not None:
            ends = max(ends, self._catching_up_until)
        return min(at_most, ends - self._clock.monotonic())


def watch(connection: Connection, after: int | None, job_id: int | None, timeout: float | None) -> Iterator[Event]:
    """Every event after that one, then each new one; see `JobClient.watch`. The connection stands on return."""
    events = _events(connection, after, job_id, timeout)
    next(events, None)  # it begins here, not when the caller looks: `after` = None would miss what happens in between
    return (event for event in events if event is not None)


def _events(
    connection: Connection, after: int | None, job_id: int | None, timeout: float | None
) -> Iterator[Event | None]:
    """None as soon as the server tells something, if it is only that it listens; then events."""
    clock, begun = connection.clock, False
    idle = Idle(clock, timeout)
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


def _messages(response: BaseHTTPResponse, idle: Idle) -> Iterator[Message]:
    """What comes over one connection, until it ends, breaks, falls silent or the idle time is over."""
    parser = Parser()
    while (left := idle.left(_SILENCE)) > 0:
        # Where the server ends the connection with the answer, urllib3 lets go of the socket, and the timeout stays
        # that of the request: what is silent for so long is asked for again, from where it was.
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
