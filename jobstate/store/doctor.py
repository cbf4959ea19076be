"""The checks of `jobstate doctor`: each has a result, and a fix where something is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobstate.core.context import SILENT_AFTER
from jobstate.core.installation import DISTRIBUTION, PACKAGE, rivals
from jobstate.domain.job import Job, row_of
from jobstate.domain.leases import is_overdue, lease_lost
from jobstate.domain.lifecycle import CLAIMABLE, LEASED
from jobstate.ports.repository import WorkerInfo
from jobstate.store.job_store import JobStore
from jobstate.system import Clock, SystemClock, file_system

LARGE_LOG: Final = 256 * 1024 * 1024
_AHEAD: Final = 60.0
_REMOTE: Final = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "glusterfs", "ceph", "afs", "lustre")
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `fix` is empty when nothing is wrong."""

    name: str
    ok: bool
    result: str
    fix: str = ""


def examine(store: JobStore, clock: Clock | None = None) -> list[Check]:
    """Check the file, the schema and its guards, stuck jobs, lost leases, silent and idle workers, log and clock."""
    now = (SystemClock() if clock is None else clock).now()
    held = list(store.iterate(LEASED))
    workers = store.workers()
    return [
        _installation(),
        *_file(store),
        _place(store),
        _log(store),
        *_jobs(held, now),
        _workers(workers, now),
        _queue(store, workers, held, now),
        _clock(store, now),
    ]


def _installation() -> Check:
    found = [f"the distribution {name} owns the package {PACKAGE} too" for name in rivals()]
    return _check("installation", found, DISTRIBUTION, f"uninstall both, then install {DISTRIBUTION}")


def _file(store: JobStore) -> Iterator[Check]:
    findings = store.repository.history.check_file()
    damage = [str(finding) for finding in findings if finding.problem.startswith("file:")]
    schema = [str(finding) for finding in findings if not finding.problem.startswith("file:")]
    yield _check("file", damage, "sound", "restore a backup, or salvage the file with `sqlite3 FILE .recover`")
    yield _check("schema and guards", schema, "as this version made them", "back the store up and restore its schema")


def _place(store: JobStore) -> Check:
    kind = file_system(store.path) or "unknown"
    remote = [f"{store.path} is on {kind}"] if kind.startswith(_REMOTE) else []
    return _check("file system", remote, kind, "move the file to a local disk: locks do not hold over a network")


def _log(store: JobStore) -> Check:
    size = store.repository.sizes().log_bytes
    large = [f"{size:,} bytes wait in the write-ahead log"] if size > LARGE_LOG else []
    return _check("log", large, f"{size:,} bytes", "close the connection that has read for long, such as a shell")


def _jobs(held: list[Job], now: int) -> Iterator[Check]:
    lost = [f"job {job.id} of {job.worker_id}" for job in held if lease_lost(row_of(job), now)]
    stuck = [
        f"job {job.id} is {job.state}"
        for job in held
        if is_overdue(row_of(job), now) and not lease_lost(row_of(job), now)
    ]
    sweep = "run `jobstate sweep`, or keep a worker running"
    yield _check("leases", lost, f"{sum(job.worker_id is not None for job in held)} held", sweep)
    yield _check("stops", stuck, "none overdue", f"{sweep}; `jobstate stop --mode force` ends one at once")


def _workers(workers: Sequence[WorkerInfo], now: int) -> Check:
    silent = [
        f"{worker.node_id} (process {worker.pid} on {worker.host}) for {(now - worker.heartbeat_us) / 1e6:,.0f} s"
        for worker in workers
        if _is_silent(worker, now)
    ]
    return _check(
        "workers",
        silent,
        f"{len(workers)} registered",
        "check whether the process is alive; start it again under its name",
    )


def _queue(store: JobStore, workers: Sequence[WorkerInfo], held: list[Job], now: int) -> Check:
    """Workers with free capacity that claim no due job: a handler there still runs though its lease was lost."""
    holding = Counter(job.worker_id for job in held)
    idle = {
        worker.node_id: worker
        for worker in workers
        if holding[worker.node_id] < worker.concurrency
        and not _is_silent(worker, now)
        and now - worker.started_us > SILENT_AFTER * 1_000_000
    }
    stuck = []
    for job in store.iterate(CLAIMABLE) if idle else ():
        waited = (now - row_of(job).available_us) / 1e6
        for worker in [worker for worker in idle.values() if waited > SILENT_AFTER and _could_take(worker, job)]:
            del idle[worker.node_id]
            stuck.append(
                f"{worker.node_id} (process {worker.pid} on {worker.host}) holds {holding[worker.node_id]} of "
                f"{worker.concurrency} jobs and claims no other, although job {job.id} is due for {waited:,.0f} s"
            )
        if not idle:
            break
    return _check("queue", stuck, "no worker leaves due jobs", "one of its handlers hangs: restart that worker")


def _is_silent(worker: WorkerInfo, now: int) -> bool:
    return now - worker.heartbeat_us > SILENT_AFTER * 1_000_000


def _could_take(worker: WorkerInfo, job: Job) -> bool:
    return job.node_id in {"", worker.node_id} and (worker.kinds is None or job.kind in worker.kinds)


def _clock(store: JobStore, now: int) -> Check:
    newest = [job for job in store.list("all", limit=1).jobs if row_of(job).updated_us > now + _AHEAD * 1_000_000]
    ahead = [f"job {job.id} was changed {(row_of(job).updated_us - now) / 1e6:,.0f} s from now" for job in newest]
    return _check("clock", ahead, "not behind the newest job", "set the clock: it was ahead, or it is behind now")


def _check(name: str, wrong: list[str], fine: str, fix: str) -> Check:
    if not wrong:
        return Check(name, True, fine)
    more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    return Check(name, False, "; ".join(wrong[:_SHOWN]) + more, fix)
