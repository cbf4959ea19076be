"""The checkpoints of a run: written at once, or begun and then completed or failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jobstate.domain import validation
from jobstate.domain.checkpoints import Checkpoint, OperatorState, point
from jobstate.domain.failure import MAX_SUMMARY
from jobstate.domain.report import NOTHING, Report
from jobstate.domain.validation import Json
from jobstate.worker.reporting import Reporting


class Checkpointing(Reporting):
    """What a run says of its checkpoints."""

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
        begun = validation.instance("checkpoint", checkpoint, Checkpoint)
        said = point(self._context.descriptor_limit, state, size_bytes, backend, location, operators)
        keep, reports = self._context.keep_checkpoints, self._context.repository.reports
        return self._reported(
            lambda taken, now: reports.complete_checkpoint(self.lease, taken, begun.number, said, keep, now)
        )

    def fail_checkpoint(self, checkpoint: Checkpoint, failure: str) -> Checkpoint:
        """The checkpoint could not be written; the job goes on, and a recovery starts from the one before.

        Repeating it changes nothing.

        Raises:
            LeaseLost: The lease is gone, and the checkpoint failed.
            InvalidRequest: The checkpoint was completed, or is another run's.
        """
        begun = validation.instance("checkpoint", checkpoint, Checkpoint)
        told = validation.storable(validation.message("failure", failure), MAX_SUMMARY)
        keep, reports = self._context.keep_checkpoints, self._context.repository.reports
        return self._reported(
            lambda taken, now: reports.fail_checkpoint(self.lease, begun.number, told, keep, now), flush=False
        )

    def _reported(self, write: Callable[[Report, int], Checkpoint], *, flush: bool = True) -> Checkpoint:
        with self._writing:
            if self._tentative:
                self._check_claim()
            taken = self._take() if flush else NOTHING
            try:
                checkpoint = write(taken, self._context.clock.now())
            except BaseException as error:
                self._failed(error, taken)
                raise
            self._written(taken)
            return checkpoint
