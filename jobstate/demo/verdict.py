"""The verdict on the demo: jobs compared with a plain walk, the log of reads, and the audit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import jobstate
from jobstate.demo.files import Tally, read
from jobstate.demo.metrics import DemoMetrics, last_lines, metrics_of
from jobstate.demo.reads import Read, lost_runs, read_again
from jobstate.demo.worker import CHECKPOINT_EVERY


class DemoJobs(Protocol):
    """What the verdict needs to know of the scenario."""

    jobs: list[jobstate.Job]
    names: dict[int, str]
    files: dict[int, int]
    to_stop: int
    to_crash: int
    killed: str | None
    restart: jobstate.Job | None


@dataclass(frozen=True, slots=True)
class Ending:
    """One job at the end: its history as one line, and its progress."""

    job: jobstate.Job
    name: str
    history: str
    reported: Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """The results, and each claim of the demo with whether it held."""

    endings: list[Ending]
    totals: list[tuple[str, Tally]]
    metrics: DemoMetrics
    logs: list[tuple[str, Sequence[jobstate.LogEntry]]]
    """Descriptions of jobs, each with the last entries of the job's log."""
    example: int
    """The id of the job with the most to see."""
    audit: jobstate.AuditReport
    claims: list[tuple[str, bool]]

    @property
    def held(self) -> bool:
        """Whether all claims held."""
        return all(held for _, held in self.claims)

    def document(self) -> dict[str, Any]:
        """The verdict as JSON."""
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
    store: jobstate.JobStore, demo: DemoJobs, reads: Sequence[Read], folder: Path, exclude: tuple[str, ...]
) -> Verdict:
    """Compare what the jobs reported and what their workers read with the files of the folder."""
    restarts = [] if demo.restart is None else [demo.restart]
    endings = [_ending(store, store.get(job), demo.names[job.id]) for job in (*demo.jobs, *restarts)]
    by_id = {ending.job.id: ending for ending in endings}
    stopped, crashed = by_id[demo.to_stop], by_id[demo.to_crash]
    restart = None if demo.restart is None else by_id[demo.restart.id]
    completed = [ending for ending in endings if ending.job.state is jobstate.State.COMPLETED]
    counted, walked = sum((ending.reported for ending in completed), Tally()), walk(folder, exclude)
    walked_content = replace(walked, unreadable=0)  # progress does not count missing read permissions
    metrics = metrics_of(store, [ending.job for ending in completed])
    again = _repeated_reads(store, demo, reads)
    audit = store.audit()
    totals = [(f"job {stopped.job.id}, which was stopped", stopped.reported)]
    if restart is not None:
        totals.append((f"job {restart.job.id}, which restarted it", restart.reported))
    totals += [("all completed jobs", counted), ("their metrics", metrics.counted), ("a plain walk counts", walked)]
    claims = [
        (
            f"job {stopped.job.id} was stopped half way, after {stopped.reported.files:,} of "
            f"{demo.files[stopped.job.id]:,} files",
            stopped.job.state is jobstate.State.STOPPED and stopped.reported.files < demo.files[stopped.job.id],
        ),
        (
            f"{demo.killed} was killed, and its job {crashed.job.id} claimed again",
            demo.killed is not None and bool(lost_runs(store.events(crashed.job))),
        ),
        _restart_claim(stopped, restart, reads),
        ("every other job completed", len(completed) == len(endings) - 1),
        (
            "no file was left out, and none read again that a checkpoint covered"
            if again is None
            else f"no file was left out; {again:,} read again, none that a checkpoint covered",
            again is not None,
        ),
        ("the totals of the completed jobs equal a plain walk", counted == walked_content),
        ("their metrics equal a plain walk: repeated work counts once", metrics.counted == walked),
        (f"the audit of {audit.jobs} jobs and {audit.events} events found nothing", audit.ok),
    ]
    descriptions = {crashed.job.id: "whose worker was killed", stopped.job.id: "which was stopped"}
    if restart is not None:
        descriptions[restart.job.id] = f"which restarted job {stopped.job.id}"
    logs = [(f"job {job_id}, {what}", last_lines(store, job_id)) for job_id, what in descriptions.items()]
    return Verdict(endings, totals, metrics, logs, crashed.job.id, audit, claims)


def _restart_claim(stopped: Ending, restart: Ending | None, reads: Sequence[Read]) -> tuple[str, bool]:
    if restart is None:
        return "the stopped job was restarted", False
    positions = [read.position for read in reads if read.job_id == restart.job.id]
    continued = restart.job.restarted_from == stopped.job.id and min(positions, default=-1) == stopped.reported.files
    return f"job {restart.job.id} restarted it from its checkpoint, with the next file", continued


def _repeated_reads(store: jobstate.JobStore, demo: DemoJobs, reads: Sequence[Read]) -> int | None:
    """The number of files read again, or None if one was read again although a checkpoint covered it."""
    found = []
    for job in demo.jobs:
        lineage = [job.id, *([demo.restart.id] if demo.restart and job.id == demo.to_stop else [])]
        lost = {run for job_id in lineage for run in lost_runs(store.events(job_id))}
        found.append(read_again(reads, lineage, demo.files[job.id], lost, CHECKPOINT_EVERY))
    known = [again for again in found if again is not None]
    return sum(known) if len(known) == len(found) else None


def walk(folder: Path, exclude: tuple[str, ...]) -> Tally:
    """Count the folder without a job."""
    total = Tally()
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in exclude]
        for name in names:
            file = Path(path, name)
            if file.is_file() and not file.is_symlink():
                total += read(file)
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
    """A history as one line: the states, with the workers that claimed the job and the reasons."""
    steps: list[str] = []
    for event in events:
        if event.is_note:
            continue
        worker = f" ({event.node})" if event.trigger == jobstate.Trigger.CLAIM else ""
        reason = f" [{event.reason}]" if event.reason and event.from_state is not None else ""
        steps.append(f"{event.to_state}{worker}{reason}")
    return " → ".join(steps)
