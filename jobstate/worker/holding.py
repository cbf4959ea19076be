"""The claim that a run stands on: what names it, and whether it holds."""

from __future__ import annotations

from jobstate.core.context import Context
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import LeaseLost
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.leases import is_undone
from jobstate.ports.repository import Claimed
from jobstate.worker.run_log import BOUND


class Holding:
    """A claimed job.

    Attributes:
        restored: The newest completed checkpoint, which the run starts from; None before any.
    """

    _lost = False
    _tentative = False
    """Claimed inside a transaction that may have been undone, or may yet be."""
    _undone = False
    """It was undone: another run has, or will have, the token."""

    def __init__(self, context: Context, claimed: Claimed) -> None:
        self._row: JobRow = claimed.job
        self._job: Job | None = None
        self.restored: Checkpoint | None = claimed.restored
        self._context = context
        self._claimed = claimed

    @property
    def job(self) -> Job:
        """The job as it was claimed."""
        if self._job is None:
            self._job = Job(self._row)
        return self._job

    @property
    def id(self) -> int:
        """The id of the job."""
        return self._row.id

    @property
    def token(self) -> int:
        """The fencing token of this lease. Pass it to whatever the job writes outside: a larger one has come later."""
        return self._row.lease_token

    @property
    def lease(self) -> Lease:
        """What every write of this run names."""
        return self._row.lease

    @property
    def bound(self) -> dict[str, object]:
        """What tells this run from others in records of `logging`: `job_id`, `kind`, `attempt`, `node` and `token`."""
        job = self._row
        return dict(zip(BOUND, (job.id, job.kind, job.attempt, job.worker_id, job.lease_token), strict=True))

    def doubt_claim(self) -> None:
        """The claim was made inside a transaction that may yet be undone: ask before anything is written."""
        self._tentative = True
        self._context.tentative_runs[self.lease] = self

    def claim_undone(self) -> None:
        """The transaction that the claim was made in was undone, and with it the lease."""
        self._undone = self._lost = True

    def _check_claim(self) -> None:
        """LeaseLost if the claim was undone; while it may yet be, every write asks."""
        repository = self._context.repository
        if not self._undone:
            undecided = repository.in_transaction()
            with repository.transaction():  # waits for that of another thread, if it is the one
                job = repository.jobs.find(self.id)
            if job is None or not is_undone(job, self._row):
                self._tentative = undecided
                return
            self.claim_undone()
        raise LeaseLost(self.id, self.token)
