"""A real server over a store of the test, on a port of its own, in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
import uvicorn

import jobstate
from jobstate.http import Settings, create_app
from jobstate.http.server import Protocol, listen

SOON = Settings(sweep_every=0.05)


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    port: int

    def ask(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None, raw: Any = None
    ) -> Answer:
        """One request, without retries; `body` is sent as JSON, `raw` as it is."""
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            raw = json.dumps(body).encode()
        with urllib3.PoolManager(retries=False, timeout=30) as pool:
            found = pool.request(method, self.url + path, body=raw, headers=sent)
            return Answer(found.status, found.headers, found.data.decode())


class _Prompt(uvicorn.Server):
    """Ends soon after it is told to, as hundreds of tests wait for it."""

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            await asyncio.sleep(0.01)


@contextmanager
def serving(store: jobstate.JobStore, settings: Settings = SOON, *, port: int = 0, **options: Any) -> Iterator[Server]:
    """The application over the store under uvicorn, until the block ends; port 0: any that is free."""
    app = create_app(store, settings, **options)
    with listen("127.0.0.1", port) as listening:
        port = listening.getsockname()[1]
        server = _Prompt(uvicorn.Config(app, http=Protocol, log_level="error", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            yield Server(f"http://127.0.0.1:{port}", port)
        finally:
            app.state.changes.stop()
            server.should_exit = True
            thread.join()
