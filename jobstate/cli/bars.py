"""Bars for long work, on a terminal; nothing elsewhere. What draws them is imported only where there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from jobstate.cli.render import blocks, size, standing
from jobstate.cli.text import counted
from jobstate.domain.job import Job
from jobstate.domain.progress import TableProgress

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what is told how much is done and how much there is; drawn on standard error, gone at the end."""
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
    """As `with progress`; an interrupt waits until it has begun, as rich cannot take back half a beginning."""
    import signal

    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        progress.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield
    finally:
        progress.stop()


class TableBars:
    """A bar per table of a job, as long as the block that the descriptor names as `end_block`, where it does."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(20),
            TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        self._tasks: dict[str, Any] = {}

    def drawn(self) -> AbstractContextManager[None]:
        """While they are on the screen."""
        return _drawn(self._progress)

    def show(self, job: Job, tables: Mapping[str, TableProgress]) -> None:
        """The present state of all tables; while there is none, where the job stands."""
        waits = "" in self._tasks
        if waits and (tables or job.is_terminal):
            self._progress.remove_task(self._tasks.pop(""))
        if not tables and not job.is_terminal:
            self._update("", standing(job), None, 0, "")
        end = job.descriptor.get("end_block")
        for name, table in tables.items():
            start, current = table.start_block, table.current_block
            total = end - start + 1 if isinstance(end, int) and start is not None and end >= start else None
            done = 0 if current is None or start is None else current - start + 1
            if job.is_terminal and total is None:
                total = max(done, 1)  # a bar that goes on moving would say that the job does
            told = f"{blocks(table)}  {counted(table.files_count, 'file')}  {size(table.total_size_bytes)}"
            self._update(name, name, total, done, told)

    def _update(self, key: str, title: str, total: int | None, done: int, told: str) -> None:
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(title, total=total, told="")
        self._progress.update(self._tasks[key], description=title, total=total, completed=done, told=told)
