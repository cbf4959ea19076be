"""How the demo ended, held against a plain walk of the folder and the audit of the store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import jobstate
from jobstate.cli.demo.files import Tally, read
from jobstate.cli.demo.work import part_of


class Played(Protocol):
    """What the judge needs of the cast."""

    jobs: list[jobstate.Job]
    names: dict[int, str]
    to_stop: int
    to_crash: int
    killed: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """One job at the end: its history as one line, and what it reported."""

    job: jobstate.Job
    name: str
    history: str
    reported: Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out, and each claim of the demo with whether it held."""

    endings: list[Ending]
    reported: Tally
    remainder: list[Path]
    remaining: Tally
    walked: Tally
    audit: jobstate.AuditReport
    claims: list[tuple[str, bool]]

    @property
    def held(self) -> bool:
        """Whether all of it held."""
        return all(held for _, held in self.claims)


def judge(store: jobstate.JobStore, played: Played, folder: Path, exclude: tuple[str, ...]) -> Verdict:
    """Compare what the jobs reported with what is there."""
    endings = [_ending(store, store.get(job), played.names[job.id]) for job in played.jobs]
    reported = sum((ending.reported for ending in endings), Tally())
    by_id = {ending.job.id: ending for ending in endings}
    stopped, crashed = by_id[played.to_stop], by_id[played.to_crash]
    remainder = part_of(stopped.job).files()[stopped.reported.files :]
    remaining = sum((read(path) for path in remainder), Tally())
    walked = walk(folder, exclude)
    audit = store.audit()
    unstopped = [ending.job for ending in endings if ending is not stopped]
    recovered = any(event.trigger == jobstate.Trigger.RECOVER for event in store.events(crashed.job))
    claims = [
        (f"job {stopped.job.id} was stopped half way", stopped.job.state is jobstate.State.STOPPED and bool(remainder)),
        (
            f"{played.killed} was killed and its job {crashed.job.id} claimed again",
            recovered and played.killed is not None,
        ),
        ("every other job completed", all(job.state is jobstate.State.COMPLETED for job in unstopped)),
        ("reported and remaining together are what a plain walk counts", reported + remaining == walked),
        (f"the audit of {audit.jobs} jobs and {audit.events} events found nothing", audit.ok),
    ]
    return Verdict(endings, reported, remainder, remaining, walked, audit, claims)


def walk(folder: Path, exclude: tuple[str, ...]) -> Tally:
    """Count the folder without any job."""
    total = Tally()
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in exclude]
        for name in names:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                total += read(path)
    return total


def _ending(store: jobstate.JobStore, job: jobstate.Job, name: str) -> Ending:
    tables = store.progress(job).values()
    reported = Tally(
        sum(table.files_count for table in tables),
        sum(table.total_size_bytes for table in tables),
        sum(table.current_block + 1 for table in tables if table.current_block is not None),
    )
    return Ending(job, name, history_line(store.events(job)), reported)


def history_line(events: Sequence[jobstate.Event]) -> str:
    """A history as one line: the states, with who came in between."""
    told: list[str] = []
    for event in events:
        if event.is_note:
            continue
        who = f" ({event.node})" if event.trigger == jobstate.Trigger.CLAIM else ""
        why = f" [{event.reason}]" if event.reason and event.from_state is not None else ""
        told.append(f"{event.to_state}{who}{why}")
    return " → ".join(told)
