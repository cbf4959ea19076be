"""What a worker reports about the job that it holds: progress and checkpoints, always under its lease.

Progress is gathered in memory, and written about once a second and before every change of state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from jobstate.context import Context
from jobstate.domain import checked
from jobstate.domain.checked import Json
from jobstate.domain.checkpoints import Checkpoint, OperatorState, point
from jobstate.domain.errors import LeaseLost
from jobstate.domain.job import MAX_SUMMARY, Job, Lease
from jobstate.domain.ranges import TableProgress
from jobstate.repository import Claimed
from jobstate.worker.buffer import ProgressBuffer


class Reporting:
    """A claimed job, and what is reported about it.

    Attributes:
        job: The job as it was claimed.
        restored: The newest completed checkpoint, which the run starts from; None before any.
    """

    _lost = False

    def __init__(self, context: Context, claimed: Claimed) -> None:
        self.job: Job = claimed.job
        self.restored: Checkpoint | None = claimed.restored
        self._context = context
        self._buffer = ProgressBuffer(claimed.progress)
        self._writing = threading.RLock()

    @property
    def id(self) -> int:
        """The id of the job."""
        return self.job.id

    @property
    def token(self) -> int:
        """The fencing token of this lease. Pass it to whatever the job writes outside: a larger one has come later."""
        return self.job.lease_token

    @property
    def lease(self) -> Lease:
        """What every write of this run names."""
        return self.job.lease

    @property
    def progress(self) -> dict[str, TableProgress]:
        """The progress by table, as this run has gathered it so far, from the restored checkpoint on."""
        return self._buffer.current()

    def add_range(self, table: str, first: int, last: int, *, files: int = 0, size_bytes: int = 0) -> None:
        """Add the blocks `first`..`last` (inclusive) of a table, and the files and bytes that hold them."""
        self._buffer.change(table, lambda progress: progress.added(first, last, files, size_bytes))

    def add_files(self, table: str, *, files: int = 1, size_bytes: int = 0) -> None:
        """Add files of a table that hold no block."""
        self._buffer.change(table, lambda progress: progress.counted(files, size_bytes))

    def set_progress(
        self,
        table: str,
        *,
        files_count: int | None = None,
        total_size_bytes: int | None = None,
        start_block: int | None = None,
        current_block: int | None = None,
    ) -> None:
        """Set the absolute progress of a table; what is not given stays as it is."""
        self._buffer.change(
            table, lambda progress: progress.replaced(files_count, total_size_bytes, start_block, current_block)
        )

    def flush(self) -> None:
        """Write what was reported so far. Raises LeaseLost."""
        with self._writing:
            taken = self._buffer.take()
            if not taken:
                return
            try:
                self._context.repository.reports.record(self.lease, taken)
            except BaseException as error:
                self._failed(error, taken)
                raise
            self._written(taken)

    def checkpoint(
        self,
        state: Json = None,
        *,
        size_bytes: int | None = None,
        backend: str | None = None,
        location: str | None = None,
        operators: Iterable[OperatorState] = (),
    ) -> Checkpoint:
        """Write a completed checkpoint, from which the next run of the job starts: acknowledged means durable.

        Args:
            state: What the handler needs to go on from here, as JSON; None where it keeps that elsewhere.
            size_bytes: How large it is; by default the JSON and the states of the operators together.
            backend: What keeps the state, where that is not the store itself.
            location: Where it is kept there.
            operators: What each operator keeps in it.

        Returns:
            The checkpoint, with the progress reported so far as its snapshot.

        Raises:
            LeaseLost: The lease is gone; nothing was written.
        """
        said = point(self._context.descriptor_limit, state, size_bytes, backend, location, operators)
        keep, reports = self._context.keep_checkpoints, self._context.repository.reports
        return self._reported(lambda taken, now: reports.checkpoint(self.lease, taken, said, keep, now))

    def begin_checkpoint(self, *, backend: str | None = None, location: str | None = None) -> Checkpoint:
        """Begin a checkpoint that takes its time: it stands for the progress reported so far, whatever comes after.

        Returns:
            The checkpoint, in progress. Pass it to `complete_checkpoint` or `fail_checkpoint`; what is still in
            progress when the lease ends is failed.

        Raises:
            LeaseLost: The lease is gone; nothing was written.
        """
        said = point(self._context.descriptor_limit, backend=backend, location=location)
        reports = self._context.repository.reports
        return self._reported(lambda taken, now: reports.begin_checkpoint(self.lease, taken, said, now))

    def complete_checkpoint(
        self,
        checkpoint: Checkpoint,
        state: Json = None,
        *,
        size_bytes: int | None = None,
        backend: str | None = None,
        location: str | None = None,
        operators: Iterable[OperatorState] = (),
    ) -> Checkpoint:
        """The checkpoint is written: the next run of the job starts from it. The arguments are those of `checkpoint`.

        Repeating it changes nothing.

        Raises:
            LeaseLost: The lease is gone, and the checkpoint failed.
            InvalidRequest: The checkpoint failed, or is another run's.
        """
        said = point(self._context.descriptor_limit, state, size_bytes, backend, location, operators)
        keep, reports = self._context.keep_checkpoints, self._context.repository.reports
        return self._reported(
            lambda taken, now: reports.complete_checkpoint(self.lease, taken, checkpoint.number, said, keep, now)
        )

    def fail_checkpoint(self, checkpoint: Checkpoint, failure: str) -> Checkpoint:
        """The checkpoint could not be written; the job goes on, and a recovery starts from the one before.

        Repeating it changes nothing.

        Raises:
            LeaseLost: The lease is gone, and the checkpoint failed.
            InvalidRequest: The checkpoint was completed, or is another run's.
        """
        told = checked.storable(checked.message("failure", failure), MAX_SUMMARY)
        keep, reports = self._context.keep_checkpoints, self._context.repository.reports
        return self._reported(
            lambda taken, now: reports.fail_checkpoint(self.lease, checkpoint.number, told, keep, now), flush=False
        )

    def flush_if_free(self) -> None:
        """As `flush`, for the thread beside the handler: it waits for the store first, and never for the handler.

        A handler inside a transaction holds the store and may want to write its progress; waiting for both in the
        other order would be a deadlock.
        """
        if not self._buffer.dirty:
            return
        taken: dict[str, TableProgress] = {}
        try:
            with self._context.repository.transaction():
                if not self._writing.acquire(blocking=False):
                    return
                try:
                    taken = self._buffer.take()
                    self._context.repository.reports.record(self.lease, taken)
                finally:
                    self._writing.release()
        except BaseException as error:
            self._failed(error, taken)
            raise

    def _reported(
        self, write: Callable[[dict[str, TableProgress], int], Checkpoint], *, flush: bool = True
    ) -> Checkpoint:
        with self._writing:
            taken = self._buffer.take() if flush else {}
            try:
                checkpoint = write(taken, self._context.clock.now())
            except BaseException as error:
                self._failed(error, taken)
                raise
            self._written(taken)
            return checkpoint

    def _written(self, taken: dict[str, TableProgress]) -> None:
        """Inside a transaction that may yet be undone, what was written counts as not written: it is absolute."""
        if taken and self._context.repository.in_transaction():
            self._buffer.put_back(taken)

    def _failed(self, error: BaseException, taken: dict[str, TableProgress]) -> None:
        self._buffer.put_back(taken)
        if isinstance(error, LeaseLost):
            self._lost = True
