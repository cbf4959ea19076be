"""What a store promises, in plain dicts: written from the description of the lifecycle, sharing no code with it.

Each method is one call on the store. It changes the model and returns the answer that is to be expected; where the
store must refuse, it raises the error that the store must raise and changes nothing, but for what the call settles
first. Instants are microseconds.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from jobstate import (
    CheckpointNotFound,
    DuplicateJob,
    InvalidRequest,
    JobNotFound,
    JobNotTerminal,
    LeaseLost,
    RestartNotAllowed,
    TransitionNotAllowed,
)

SECOND = 1_000_000
LEASED = {"Running", "Rescaling", "StopRequested", "Stopping"}
PENDING = {"StopRequested", "Stopping"}
TERMINAL = {"Stopped", "Completed", "Failed"}
RUNNING = {"Running", "Rescaling"}
FAILABLE = {"Scheduled", "Running", "Rescaling", "Recovering", "StopRequested", "Stopping"}
SEVERITY = ["checkpoint", "immediate", "force"]
SAID = "said"
"""Under this name, among the tables of a report, is what was written to the log."""

Row = dict[str, Any]


class Refused(Exception):
    """The store must raise `error`; `held` tells whether anything was settled before it did."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__(error)
        self.error = error


class Model:
    """The jobs that ought to be, by id; `history` holds what ought to have happened to each."""

    def __init__(self, *, keep: int, initial: int, factor: int, cap: int) -> None:
        self.jobs: dict[int, Row] = {}
        self.gone: set[int] = set()
        self.edges: set[tuple[str, str, str]] = set()
        self.keep = keep
        self.backoff = (initial, factor, cap)
        self.kinds: dict[str, int] = {}
        self.removed: dict[int, tuple[int, int]] = {}
        """The newest token and epoch of the jobs that were removed, by the first job of their lineage."""

    # Steps.

    def _move(self, job: Row, trigger: str, to: str, now: int, **changes: Any) -> None:
        self.edges.add((job["state"], trigger, to))
        job["history"].append((job["state"], to, trigger, job["attempt"] + (trigger == "claim")))
        if job["state"] == "Rescaling" and to in ("Running", "Scheduled", "Recovering"):
            job["parallelism"] = job["target"]
        job.update(state=to, target=changes.pop("target", None), **changes)
        if to in TERMINAL:
            job["finished"] = now

    def _note(self, job: Row, trigger: str) -> None:
        job["history"].append((job["state"], job["state"], trigger, job["attempt"]))

    def _free(self, job: Row, *, fenced: bool) -> None:
        """Nobody holds it any more; its last holder is fenced when the lease was lost or given back."""
        for point in job["checkpoints"] if job["worker"] is not None else ():
            if point["status"] == "in_progress":
                point["status"] = "failed"
        if job["worker"] is not None and fenced:
            job["token"] += 1
        job.update(worker=None, expires=None)

    def _halt(self, job: Row, outcome: str, now: int) -> None:
        self._move(job, "halt", "Stopped", now, outcome=outcome)
        self._free(job, fenced=True)

    def _finish(self, job: Row, outcome: str, now: int) -> None:
        """Through Stopping to Stopped, by the holder or because there is none: nobody is fenced."""
        if job["state"] == "StopRequested":
            self._move(job, "begin_stop", "Stopping", now)
        self._move(job, "finish_stop", "Stopped", now, outcome=outcome)
        self._free(job, fenced=False)

    def _charge(self, job: Row, now: int, *, lost: bool) -> None:
        job["failures"] += 1
        if job["failures"] >= job["max_attempts"]:
            self._move(job, "fail", "Failed", now, failed=True)
            self._free(job, fenced=lost)
            return
        initial, factor, cap = self.backoff
        wait = min(cap, initial * factor ** (job["failures"] - 1)) * SECOND
        self._move(job, "recover", "Recovering", now, available=now + wait, failed=True)
        self._free(job, fenced=True)

    # Settling.

    def _is_lost(self, job: Row, now: int) -> bool:
        return job["expires"] is not None and now >= job["expires"]

    def _is_late(self, job: Row, now: int) -> bool:
        return job["state"] in PENDING and now >= job["deadline"]

    def _never_held(self, job: Row) -> str:
        return "never_started" if job["attempt"] == 0 else "between_runs"

    def _settle(self, job: Row, now: int, *, unheld: bool = True) -> bool:
        lost, late = self._is_lost(job, now), self._is_late(job, now)
        if job["state"] in RUNNING and lost:
            self._charge(job, now, lost=True)
            return True
        if job["state"] not in PENDING:
            return False
        if job["worker"] is None:
            if unheld or late:
                self._finish(job, self._never_held(job), now)
                return True
            return False
        if lost or late:
            first = lost and (not late or job["expires"] <= job["deadline"])
            self._halt(job, "worker_lost" if first else "timed_out", now)
            return True
        return False

    def sweep(self, now: int) -> set[int]:
        """The ids that were settled."""
        return {job_id for job_id, job in self.jobs.items() if self._settle(job, now)}

    # Operators.

    def submit(self, job_id: int, now: int, **given: Any) -> Row:
        """A new job, or the live one with its key."""
        self.jobs[job_id] = job = {
            "state": "Created" if given["hold"] else "Scheduled",
            "kind": given["kind"],
            "node": given["node_id"],
            "key": given["key"],
            "priority": given["priority"],
            "available": now + given["delay"] * SECOND,
            "max_attempts": given["max_attempts"],
            "parallelism": 1,
            "target": None,
            "attempt": 0,
            "failures": 0,
            "token": 0,
            "worker": None,
            "expires": None,
            "mode": None,
            "deadline": None,
            "reason": None,
            "outcome": None,
            "failed": False,
            "clean": False,
            "finished": None,
            "progress": {},
            "said": [],
            "checkpoints": [],
            "root": job_id,
            "restarted_from": None,
            "history": [],
        }
        job["history"].append((None, job["state"], "submit", 0))
        return job

    def holder_of(self, key: str | None, kind: str) -> int | None:
        """The live job that a submission with this key meets, if any."""
        for job_id, job in self.jobs.items():
            if key is not None and job["key"] == key and job["state"] not in TERMINAL:
                if job["mode"] is not None or job["kind"] != kind:
                    raise Refused(DuplicateJob)
                return job_id
        return None

    def known(self, job_id: int) -> Row:
        """The job, where there is one."""
        if job_id not in self.jobs:
            raise Refused(JobNotFound)
        return self.jobs[job_id]

    def schedule(self, job_id: int, now: int) -> None:
        """Created to Scheduled; no change for one that is there."""
        job = self.known(job_id)
        if job["state"] == "Created":
            self._move(job, "schedule", "Scheduled", now, available=max(job["available"], now))
        elif job["state"] != "Scheduled":
            raise Refused(TransitionNotAllowed)

    def stop(self, job_id: int, mode: str, timeout: int, reason: str, now: int) -> bool:
        """Whether anything changed."""
        job = self.known(job_id)
        seen = len(job["history"])
        self._settle(job, now, unheld=False)
        state, deadline = job["state"], now + timeout * SECOND
        if state in PENDING:
            if mode == "force":
                job["mode"] = "force"
                self._halt(job, "forced" if job["worker"] else self._never_held(job), now)
            else:
                harder = SEVERITY.index(mode) > SEVERITY.index(job["mode"])
                sooner = deadline < job["deadline"]
                if harder:
                    job["mode"] = mode
                if sooner:
                    job["deadline"] = deadline
                if harder or sooner:
                    self._note(job, "request_stop")
        elif state not in TERMINAL:
            job.update(mode=mode, reason=reason)
            if mode == "force" or state in ("Created", "Recovering"):
                self._halt(job, "forced" if job["worker"] else self._never_held(job), now)
            else:
                self._move(job, "request_stop", "StopRequested", now, deadline=deadline)
        return len(job["history"]) > seen

    def rescale(self, job_id: int, parallelism: int, now: int) -> None:
        """The worker is asked, or, where there is none, the number is set; a refusal leaves all as it was."""
        job = self.known(job_id)
        before = deepcopy(job)
        self._settle(job, now, unheld=False)
        if job["state"] in PENDING | TERMINAL:
            job.update(before)
            raise Refused(TransitionNotAllowed)
        if job["state"] == "Rescaling":
            if job["target"] != parallelism:
                job["target"] = parallelism
                self._note(job, "rescale")
        elif job["parallelism"] != parallelism:
            if job["state"] == "Running":
                self._move(job, "rescale", "Rescaling", now, target=parallelism)
            else:
                job["parallelism"] = parallelism
                self._note(job, "rescale")

    def fail_by_operator(self, job_id: int, now: int) -> None:
        """Failed for good, the worker fenced."""
        job = self.known(job_id)
        if job["state"] not in FAILABLE:
            raise Refused(TransitionNotAllowed)
        self._move(job, "fail", "Failed", now, failed=True)
        self._free(job, fenced=True)

    def restart(self, job_id: int, chosen: tuple[int, int] | None, now: int) -> Row | None:
        """The checkpoint to go on from, or nothing; a refusal leaves all as it was.

        One is chosen by its job and epoch. The new job is added by `restarted`, when its id is known.
        """
        job = self.known(job_id)
        before = deepcopy(job)
        self._settle(job, now, unheld=False)
        try:
            return self._restorable(job_id, job, chosen)
        except Refused:
            job.update(before)
            raise

    def _restorable(self, job_id: int, job: Row, chosen: tuple[int, int] | None) -> Row | None:
        others = [other for other in self.jobs.values() if other["state"] not in TERMINAL]
        if job["state"] not in ("Failed", "Stopped") or any(other["restarted_from"] == job_id for other in others):
            raise Refused(RestartNotAllowed)
        point = self.newest(job)
        if chosen is not None:
            owner = self.jobs[chosen[0]]
            if owner["root"] != job["root"]:
                raise Refused(CheckpointNotFound)
            (point,) = [found for found in owner["checkpoints"] if found["epoch"] == chosen[1]]
            if point["status"] != "completed":
                raise Refused(RestartNotAllowed)
        if job["key"] is not None and any(other["key"] == job["key"] for other in others):
            raise Refused(DuplicateJob)
        return point

    def restarted(self, job_id: int, new_id: int, point: Row | None, tasks: int | None, now: int) -> None:
        """The new job, with a checkpoint of its own that holds what the chosen one does."""
        old = self.jobs[job_id]
        same = {"kind": old["kind"], "key": old["key"], "node_id": old["node"], "priority": old["priority"]}
        new = self.submit(new_id, now, hold=False, delay=0, max_attempts=old["max_attempts"], **same)
        there = [job["token"] for job in self.jobs.values() if job["root"] == old["root"]]
        token = max(*there, self.removed.get(old["root"], (0, 0))[0])
        new.update(parallelism=tasks or old["parallelism"], root=old["root"], restarted_from=job_id, token=token)
        if point is not None:
            new["checkpoints"].append({**deepcopy(point), "epoch": self._next_epoch(new), "token": 0})

    def delete(self, job_id: int) -> bool:
        """Whether there was such a job."""
        if job_id not in self.jobs:
            return False
        if self.jobs[job_id]["state"] not in TERMINAL:
            raise Refused(JobNotTerminal)
        self._remove(job_id)
        return True

    def prune(self, states: set[str], age: int | None, now: int) -> int:
        """How many jobs went; what is overdue is settled first."""
        self.sweep(now)
        old = [
            job_id
            for job_id, job in self.jobs.items()
            if job["state"] in states and (age is None or now - job["finished"] >= age * SECOND)
        ]
        for job_id in old:
            self._remove(job_id)
        return len(old)

    def _remove(self, job_id: int) -> None:
        """It leaves its token and its newest epoch, above which the next ones of the lineage begin."""
        gone = self.jobs.pop(job_id)
        token, epoch = self.removed.get(gone["root"], (0, 0))
        newest = max((point["epoch"] for point in gone["checkpoints"]), default=0)
        self.removed[gone["root"]] = max(gone["token"], token), max(newest, epoch)
        self.gone.add(job_id)

    # Workers.

    def claim(self, node: str, kinds: set[str] | None, lease: int, limit: int, now: int) -> list[int]:
        """The ids that were claimed, in order; what is overdue is settled first."""
        self.sweep(now)
        due = [
            (job["priority"], job["available"], job_id)
            for job_id, job in self.jobs.items()
            if job["state"] in ("Scheduled", "Recovering")
            and job["available"] <= now
            and job["node"] in ("", node)
            and (kinds is None or job["kind"] in kinds)
        ]
        taken = [job_id for _, _, job_id in sorted(due)[:limit]]
        for job_id in taken:
            job = self.jobs[job_id]
            self._move(job, "claim", "Running", now, worker=node, expires=now + lease * SECOND, clean=False)
            job["attempt"] += 1
            job["token"] += 1
            newest = self.newest(job)
            job["progress"] = {} if newest is None else deepcopy(newest["progress"])
        return taken

    def holds(self, job_id: int, token: int) -> bool:
        """Whether the lease with that token stands."""
        job = self.jobs.get(job_id)
        return job is not None and job["worker"] is not None and job["token"] == token and job["state"] in LEASED

    def _held(self, job_id: int, token: int) -> Row:
        if not self.holds(job_id, token):
            raise Refused(LeaseLost)
        return self.jobs[job_id]

    def _holder(self, job_id: int, token: int) -> Row:
        """For the verbs that change the state: who ended the job itself is told so."""
        if self._ended_by(job_id, token) is not None:
            raise Refused(TransitionNotAllowed)
        return self._held(job_id, token)

    def _ended_by(self, job_id: int, token: int) -> str | None:
        """The state in which the holder of the token itself ended the job, if it did."""
        job = self.jobs.get(job_id)
        ended = job is not None and job["token"] == token and job["state"] in TERMINAL and job["attempt"] > 0
        return str(job["state"]) if job is not None and ended else None

    def _write(self, job: Row, buffered: dict[str, Any]) -> None:
        """Numbers are absolute, and make the work unclean; what is said is added, and does not."""
        numbers = {table: told for table, told in buffered.items() if table != SAID}
        job["said"] += buffered.get(SAID, [])
        if numbers:
            job["progress"].update(numbers)
            job["clean"] = False

    def heartbeat(self, job_id: int, token: int, lease: int, now: int) -> str | None:
        """The mode of the stop that is pending; every heartbeat settles what else is overdue."""
        held = self.holds(job_id, token) and not self._is_late(self.jobs[job_id], now)
        if held:
            self.jobs[job_id]["expires"] = now + lease * SECOND
        self.sweep(now)
        if not held:
            raise Refused(LeaseLost)
        job = self.jobs[job_id]
        return str(job["mode"]) if job["state"] in PENDING else None

    def flush(self, job_id: int, token: int, buffered: dict[str, Any]) -> None:
        """Progress under the lease."""
        if buffered:
            self._write(self._held(job_id, token), buffered)

    def begin_checkpoint(self, job_id: int, token: int, buffered: dict[str, Any]) -> int:
        """The epoch of the checkpoint."""
        job = self._held(job_id, token)
        self._write(job, buffered)
        epoch = self._next_epoch(job)
        job["checkpoints"].append(
            {
                "epoch": epoch,
                "status": "in_progress",
                "token": token,
                "state": None,
                "progress": deepcopy(job["progress"]),
            }
        )
        return epoch

    def _next_epoch(self, job: Row) -> int:
        """It grows through all jobs of the lineage, also those that were removed."""
        lineage = [other for other in self.jobs.values() if other["root"] == job["root"]]
        there = [point["epoch"] for other in lineage for point in other["checkpoints"]]
        newest: int = max(*there, self.removed.get(job["root"], (0, 0))[1], 0)
        return newest + 1

    def complete_checkpoint(
        self, job_id: int, token: int, buffered: dict[str, Any], epoch: int | None, state: int
    ) -> None:
        """It stands for what was there when it was begun; the stop is clean if that is still all."""
        job = self._held(job_id, token)
        point = self._open(job, epoch, token, "completed")
        self._write(job, buffered)
        if point["status"] == "in_progress":
            point.update(status="completed", state=state)
            job["clean"] = job["clean"] or point["progress"] == job["progress"]
            self._drop(job, "completed")

    def fail_checkpoint(self, job_id: int, token: int, epoch: int | None) -> None:
        """It came to nothing."""
        job = self._held(job_id, token)
        point = self._open(job, epoch, token, "failed")
        if point["status"] == "in_progress":
            point["status"] = "failed"
            self._drop(job, "failed")

    def checkpoint(self, job_id: int, token: int, buffered: dict[str, Any], state: int) -> int:
        """Both at once; the epoch."""
        epoch = self.begin_checkpoint(job_id, token, buffered)
        self.complete_checkpoint(job_id, token, {}, epoch, state)
        return epoch

    def _open(self, job: Row, epoch: int | None, token: int, wanted: str) -> Row:
        found = [point for point in job["checkpoints"] if point["epoch"] == epoch]
        if not found:
            raise Refused(CheckpointNotFound)
        if found[0]["token"] != token or found[0]["status"] not in ("in_progress", wanted):
            raise Refused(InvalidRequest)
        point: Row = found[0]
        return point

    def newest(self, job: Row) -> Row | None:
        """The newest completed checkpoint."""
        completed = [point for point in job["checkpoints"] if point["status"] == "completed"]
        return completed[-1] if completed else None

    def _drop(self, job: Row, status: str) -> None:
        """Only the newest of each end are kept."""
        ended = [point for point in job["checkpoints"] if point["status"] == status]
        job["checkpoints"] = [point for point in job["checkpoints"] if point not in ended[: -self.keep]]

    def complete(self, job_id: int, token: int, buffered: dict[str, Any], now: int) -> None:
        """It beats a stop, and may be repeated."""
        if self._ended_by(job_id, token) == "Completed":
            return
        job = self._holder(job_id, token)
        self._write(job, buffered)
        self._move(job, "complete", "Completed", now, failed=False)
        self._free(job, fenced=False)

    def fail(self, job_id: int, token: int, buffered: dict[str, Any], now: int, *, retryable: bool) -> None:
        """Tried again, failed for good, or the end of a pending stop."""
        ended = self._ended_by(job_id, token)
        if ended == "Failed" or (ended == "Stopped" and self.jobs[job_id]["outcome"] == "worker_failed"):
            return
        job = self._holder(job_id, token)
        self._write(job, buffered)
        job["said"].append("failed")
        if job["state"] in PENDING and retryable:
            job["failed"] = True
            self._finish(job, "worker_failed", now)
        elif retryable:
            self._charge(job, now, lost=False)
        else:
            self._move(job, "fail", "Failed", now, failed=True)
            self._free(job, fenced=False)

    def _outcome(self, job: Row) -> str:
        if job["mode"] == "immediate":
            return "immediate"
        return "checkpointed" if job["clean"] else "no_checkpoint"

    def release(self, job_id: int, token: int, buffered: dict[str, Any], delay: int, now: int) -> None:
        """Back into the queue uncharged, or the end of a pending stop."""
        job = self._holder(job_id, token)
        self._write(job, buffered)
        if job["state"] in PENDING:
            self._finish(job, self._outcome(job), now)
        else:
            self._move(job, "release", "Scheduled", now, available=now + delay * SECOND)
            self._free(job, fenced=True)

    def rescaled(self, job_id: int, token: int, buffered: dict[str, Any], tasks: int, now: int) -> str | None:
        """The mode of the stop that came in between; the worker runs with so many tasks, whatever it is asked for."""
        job = self._holder(job_id, token)
        self._write(job, buffered)
        if job["state"] == "Rescaling" and job["target"] == tasks:
            self._move(job, "resume", "Running", now)
        elif job["state"] == "Rescaling" and job["parallelism"] != tasks:
            job["parallelism"] = tasks
            self._note(job, "resume")
        return str(job["mode"]) if job["state"] in PENDING else None

    def begin_stop(self, job_id: int, token: int, buffered: dict[str, Any], now: int) -> None:
        """The worker agrees; may be repeated."""
        job = self._holder(job_id, token)
        if job["state"] in RUNNING:
            raise Refused(TransitionNotAllowed)
        self._write(job, buffered)
        if job["state"] == "StopRequested":
            self._move(job, "begin_stop", "Stopping", now)

    def finish_stop(self, job_id: int, token: int, buffered: dict[str, Any], now: int) -> None:
        """The worker has stopped; may be repeated."""
        if self._ended_by(job_id, token) == "Stopped":
            return
        job = self._holder(job_id, token)
        if job["state"] in RUNNING:
            raise Refused(TransitionNotAllowed)
        self._write(job, buffered)
        self._finish(job, self._outcome(job), now)
