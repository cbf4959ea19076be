"""Entries of a job's history, and who caused them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from jobstate.domain import validation
from jobstate.domain.lifecycle import State

SUBMIT: Final = "submit"
"""The trigger of a job's first history entry."""
SWEEPER: Final = "sweep:"
"""The prefix of the actor that settles an overdue job; the name of the process that met the job follows."""


class Actor(NamedTuple):
    """Who acts, and why."""

    name: str
    reason: str | None = None

    def overridden(self, actor: str | None, reason: str | None) -> Actor:
        """This actor with another name or reason; None keeps what it has."""
        if actor is None and reason is None:
            return self
        return Actor(
            self.name if actor is None else validation.text("actor", actor),
            self.reason if reason is None else validation.reason(reason),
        )


@lru_cache(maxsize=64)
def worker_actor(node_id: str) -> Actor:
    """The worker of that name, as the history names it; cached, because every claim asks for it."""
    return Actor(f"worker:{node_id}")


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a job's history: a change of state, or a note (`from_state` = `to_state`).

    `id` grows through the whole store and is the cursor of `watch`; `seq` counts within the job, from 1, without gaps.
    """

    id: int
    job_id: int
    seq: int
    at_us: int
    from_state: State | None
    to_state: State
    trigger: str
    actor: str
    reason: str | None
    node: str | None
    attempt: int
    token: int
    detail_json: str | None

    @property
    def at(self) -> datetime:
        """When it happened."""
        return validation.instant(self.at_us)

    @property
    def detail(self) -> dict[str, Any]:
        """Further facts about the change, by name."""
        loaded: dict[str, Any] = json.loads(self.detail_json) if self.detail_json else {}
        return loaded

    @property
    def is_note(self) -> bool:
        """Whether the state stayed as it was."""
        return self.from_state == self.to_state
