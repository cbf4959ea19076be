"""The output of the demo: a live board on a terminal, plain lines elsewhere, and the verdict at the end."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import jobstate
from jobstate.cli.view.text import hanging
from jobstate.demo.verdict import Verdict

_MAX_ACTIONS: Final = 6
_PLAIN_WIDTH: Final = 10_000


class Board:
    """Shows the jobs while they run, and the verdict."""

    def __init__(self, folder: Path, database: Path, *, on_errors: bool = False) -> None:
        """With `on_errors`, write to standard error instead of standard output."""
        self.ended: set[int] = set()
        self._console = Console(stderr=on_errors)
        if not self._console.is_terminal:
            self._console = Console(stderr=on_errors, width=_PLAIN_WIDTH, highlight=False)
        self._folder = folder
        self._database = database
        self._names: dict[int, str] = {}
        self._files: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._actions: list[str] = []
        self._running: list[jobstate.Job] = []
        self._started = time.monotonic()
        self._live: Live | None = None
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TextColumn("files"),
            TimeElapsedColumn(),
        )
        self._bar = self._bars.add_task("all jobs")

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def begin(self, names: dict[int, str], files: dict[int, int]) -> None:
        """Show that the jobs are submitted."""
        self._names, self._files = names, files
        self._bars.update(self._bar, total=sum(files.values()))
        self._console.print(f"{len(names)} jobs over {sum(files.values()):,} files of {self._folder}", soft_wrap=True)
        if self._console.is_terminal:
            self._live = Live(self._view(), console=self._console, refresh_per_second=10, transient=True)
            self._live.start()

    def restarted(self, job_id: int, restart_id: int) -> None:
        """Count the work of a stopped job as that of its restart, which continues it."""
        self._done[restart_id] = self._done.pop(job_id, 0)

    def event(self, event: jobstate.Event) -> None:
        """Show the transition of a job."""
        if event.to_state in jobstate.TERMINAL:
            self.ended.add(event.job_id)
            if event.to_state is jobstate.State.COMPLETED:
                self._done[event.job_id] = self._files[event.job_id]
        if not self._console.is_terminal and event.from_state is not None:
            on = f" on {event.node}" if event.trigger == jobstate.Trigger.CLAIM else ""
            why = f": {event.reason}" if event.reason else ""
            self._line(f"job {event.job_id} {self._names[event.job_id]} {event.to_state}{on}{why}")

    def action(self, text: str) -> None:
        """Show what the demo did to a job or a worker."""
        self._actions.append(f"{time.monotonic() - self._started:6.1f} s  {text}")
        if not self._console.is_terminal:
            self._line(text)

    def progress(self, running: list[jobstate.Job], tables: dict[int, dict[str, jobstate.TableProgress]]) -> None:
        """Show the progress of the running jobs."""
        self._running = running
        for job_id, progress in tables.items():
            self._done[job_id] = sum(table.files_count for table in progress.values())
        self._bars.update(self._bar, completed=sum(self._done.values()))
        if self._live is not None:
            self._live.update(self._view())

    def end(self, verdict: Verdict, *, kept: bool) -> None:
        """Show the verdict, and how to look at the jobs, which are `kept` or not."""
        self._close()
        out = self._console
        out.print("\nHistories", style="bold")
        histories = Table(box=None, show_header=False, pad_edge=True, padding=(0, 2, 0, 0))
        histories.add_column(justify="right")
        histories.add_column(no_wrap=True)
        histories.add_column(overflow="fold")
        for ending in verdict.endings:
            histories.add_row(f"job {ending.job.id}", Text(ending.name), Text(ending.history))
        out.print(histories)
        out.print("\nTotals", style="bold")
        width = max(len(what) for what, _ in verdict.totals)
        for what, tally in verdict.totals:
            out.print(f"  {what:{width}}  {tally}")
        self._metrics_and_logs(verdict)
        out.print("\nVerdict", style="bold")
        for claim, held in verdict.claims:
            out.print(f"  {'yes' if held else 'NO '}  {claim}", style="green" if held else "bold red", markup=False)
        for finding in verdict.audit.findings:
            out.print(f"       {finding}", markup=False)
        hint = f"the jobs are in {self._database}" if kept else "add --db FILE to keep the jobs and look at them"
        file = shlex.quote(str(self._database)) if kept else "FILE"
        commands = [f"jobstate {command} {verdict.example} --db {file}" for command in ("logs", "metrics")]
        out.print(f"\n{hint}:", *commands, sep="\n  ", markup=False, soft_wrap=True)

    def _metrics_and_logs(self, verdict: Verdict) -> None:
        out, metrics = self._console, verdict.metrics
        out.print("\nMetrics", style="bold")
        out.print(f"  throughput  {metrics.files_per_second:,.0f} files a second, for {metrics.seconds:.1f} s")
        if metrics.latency is not None:
            out.print(f"  a file      p50 {metrics.latency.p50:,.2f} ms, p99 {metrics.latency.p99:,.2f} ms")
        out.print(f"  warnings    {metrics.counted.unreadable:,} files without read permission")
        out.print("\nLogs", style="bold")
        for description, entries in verdict.logs:
            out.print(f"  {description}")
            for entry in entries:
                head = f"    {entry.time:%H:%M:%S}Z  {entry.level:5}  "
                out.print(hanging(head, entry.message, out.width), markup=False, soft_wrap=True)

    def _view(self) -> Group:
        table = Table(box=None, pad_edge=False, expand=True)
        for title in ("job", "folder", "state", "worker"):
            table.add_column(title, no_wrap=True)
        table.add_column("files", justify="right", no_wrap=True)
        for job in self._running:
            done = f"{self._done.get(job.id, 0):,} of {self._files[job.id]:,}"
            table.add_row(str(job.id), self._names[job.id], job.state, job.worker_id, done)
        return Group(self._bars, table, *self._actions[-_MAX_ACTIONS:])

    def _line(self, text: str) -> None:
        self._console.print(f"{time.monotonic() - self._started:6.1f} s  {text}", markup=False)

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
