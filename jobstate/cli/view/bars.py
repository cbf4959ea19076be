"""Progress bars on a terminal, nothing elsewhere. rich is imported only when there is a bar to draw."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from jobstate.cli.view.jobs import blocks, state_line
from jobstate.cli.view.text import plural
from jobstate.cli.view.units import size
from jobstate.domain.job import Job
from jobstate.domain.progress import TableProgress

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function to call with (done, total); the bar is drawn on standard error and removed at the end."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = progress.add_task(title, total=None)
    with _drawn(progress):
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _drawn(progress: Progress) -> Iterator[None]:
    """As `with progress`, but an interrupt waits until it has started: rich cannot undo half a start."""
    import signal

    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        progress.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield
    finally:
        progress.stop()


class TableBars:
    """A bar for each table of a job; its end is the `end_block` of the descriptor, if there is one."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(20),
            TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        self._tasks: dict[str, Any] = {}

    def drawn(self) -> AbstractContextManager[None]:
        """Draw the bars during the block."""
        return _drawn(self._progress)

    def show(self, job: Job, tables: Mapping[str, TableProgress]) -> None:
        """Draw the progress of all tables; before there is any, the state of the job."""
        waiting = "" in self._tasks
        if waiting and (tables or job.is_terminal):
            self._progress.remove_task(self._tasks.pop(""))
        if not tables and not job.is_terminal:
            self._update("", state_line(job), None, 0, "")
        end = job.descriptor.get("end_block")
        for name, table in tables.items():
            start, current = table.start_block, table.current_block
            total = end - start + 1 if isinstance(end, int) and start is not None and end >= start else None
            done = 0 if current is None or start is None else current - start + 1
            if job.is_terminal and total is None:
                total = max(done, 1)  # a bar that keeps moving would look like a running job
            text = f"{blocks(table)}  {plural(table.files_count, 'file')}  {size(table.total_size_bytes)}"
            self._update(name, name, total, done, text)

    def _update(self, key: str, title: str, total: int | None, done: int, text: str) -> None:
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(title, total=total, text="")
        self._progress.update(self._tasks[key], description=title, total=total, completed=done, text=text)
