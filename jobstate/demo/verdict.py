"""How the demo ended, held against a plain walk of the folder, the notes of the workers and the audit of the store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import jobstate
from jobstate.demo.files import Tally, read
from jobstate.demo.metrics import Measured, last_lines, measured
from jobstate.demo.reads import Read, lost_runs, read_again
from jobstate.demo.worker import CHECKPOINT_EVERY


class Played(Protocol):
    """What the judge needs of the cast."""

    jobs: list[jobstate.Job]
    names: dict[int, str]
    files: dict[int, int]
    to_stop: int
    to_crash: int
    killed: str | None
    restart: jobstate.Job | None


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
    totals: list[tuple[str, Tally]]
    metrics: Measured
    logs: list[tuple[str, Sequence[jobstate.LogEntry]]]
    """Of which job, and the end of its log."""
    look_at: int
    """The job of which there is most to see."""
    audit: jobstate.AuditReport
    claims: list[tuple[str, bool]]

    @property
    def held(self) -> bool:
        """Whether all of it held."""
        return all(held for _, held in self.claims)

    def document(self) -> dict[str, Any]:
        """What came out, as JSON."""
        return {
            "held": self.held,
            "claims": [{"claim": claim, "held": held} for claim, held in self.claims],
            "jobs": [
                {"id": ending.job.id, "name": ending.name, "state": ending.job.state.value, "history": ending.history}
                for ending in self.endings
            ],
            "totals": [{"of": name, **asdict(tally)} for name, tally in self.totals],
        }


def judge(
    store: jobstate.JobStore, played: Played, reads: Sequence[Read], folder: Path, exclude: tuple[str, ...]
) -> Verdict:
    """Compare what the jobs reported, and what their workers noted, with what is there."""
    restarts = [] if played.restart is None else [played.restart]
    endings = [_ending(store, store.get(job), played.names[job.id]) for job in (*played.jobs, *restarts)]
    by_id = {ending.job.id: ending for ending in endings}
    stopped, crashed = by_id[played.to_stop], by_id[played.to_crash]
    restart = None if played.restart is None else by_id[played.restart.id]
    completed = [ending for ending in endings if ending.job.state is jobstate.State.COMPLETED]
    counted, walked = sum((ending.reported for ending in completed), Tally()), walk(folder, exclude)
    walked_content = replace(walked, unreadable=0)  # progress knows nothing of what may not be read
    metrics = measured(store, [ending.job for ending in completed])
    again = _read_again(store, played, reads)
    audit = store.audit()
    totals = [(f"job {stopped.job.id}, which was stopped", stopped.reported)]
    if restart is not None:
        totals.append((f"job {restart.job.id}, which restarted it", restart.reported))
    totals += [("all completed jobs", counted), ("their metrics", metrics.counted), ("a plain walk counts", walked)]
    claims = [
        (
            f"job {stopped.job.id} was stopped half way, after {stopped.reported.files:,} of "
            f"{played.files[stopped.job.id]:,} files",
            stopped.job.state is jobstate.State.STOPPED and stopped.reported.files < played.files[stopped.job.id],
        ),
        (
            f"{played.killed} was killed, and its job {crashed.job.id} claimed again",
            played.killed is not None and bool(lost_runs(store.events(crashed.job))),
        ),
        _went_on(stopped, restart, reads),
        ("every other job completed", len(completed) == len(endings) - 1),
        (
            "no file was left out, and none read again that a checkpoint held"
            if again is None
            else f"no file was left out; {again:,} read again, none that a checkpoint held",
            again is not None,
        ),
        ("the completed jobs counted what a plain walk counts: nothing remains", counted == walked_content),
        ("their metrics count what a plain walk counts: work done again counts once", metrics.counted == walked),
        (f"the audit of {audit.jobs} jobs and {audit.events} events found nothing", audit.ok),
    ]
    told = {crashed.job.id: "whose worker was killed", stopped.job.id: "which was stopped"}
    if restart is not None:
        told[restart.job.id] = f"which restarted job {stopped.job.id}"
    logs = [(f"job {job_id}, {what}", last_lines(store, job_id)) for job_id, what in told.items()]
    return Verdict(endings, totals, metrics, logs, crashed.job.id, audit, claims)


def _went_on(stopped: Ending, restart: Ending | None, reads: Sequence[Read]) -> tuple[str, bool]:
    if restart is None:
        return "the stopped job was restarted", False
    places = [read.place for read in reads if read.job_id == restart.job.id]
    went_on = restart.job.restarted_from == stopped.job.id and min(places, default=-1) == stopped.reported.files
    return f"job {restart.job.id} restarted it from its checkpoint, at the next file", went_on


def _read_again(store: jobstate.JobStore, played: Played, reads: Sequence[Read]) -> int | None:
    """How many files were read again, or None where that was not needed."""
    found = []
    for job in played.jobs:
        lineage = [job.id, *([played.restart.id] if played.restart and job.id == played.to_stop else [])]
        lost = {run for job_id in lineage for run in lost_runs(store.events(job_id))}
        found.append(read_again(reads, lineage, played.files[job.id], lost, CHECKPOINT_EVERY))
    known = [again for again in found if again is not None]
    return sum(known) if len(known) == len(found) else None


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
    origin = "" if job.restarted_from is None else f"restarts job {job.restarted_from}: "
    return Ending(job, name, origin + history_line(store.events(job)), reported)


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
