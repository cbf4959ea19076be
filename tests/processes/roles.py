"""What the other processes do: `python -m tests.processes.roles ROLE ARGUMENT…`; each sends lines of JSON."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal, cast

import jobstate
from jobstate import Run

ROLES: Final[dict[str, Callable[..., None]]] = {}
Durability = Literal["full", "normal"]


def role(function: Callable[..., None]) -> Callable[..., None]:
    ROLES[function.__name__] = function
    return function


def send(message: Any) -> None:
    os.write(sys.stdout.fileno(), f"{json.dumps(message)}\n".encode())  # in one piece, whichever thread sends it


def ready() -> None:
    """Report that it is ready, and wait for the start."""
    send("ready")
    sys.stdin.readline()


@role
def drain(path: str, name: str, durability: str, limit: str) -> None:
    """Claim and complete until nothing is due."""
    with jobstate.open(path, durability=cast("Durability", durability), timeout=30) as jobs:
        ready()
        claimed: list[tuple[int, int]] = []
        slowest = 0.0
        while True:
            began = time.monotonic()
            runs = jobs.claim(name, limit=int(limit), lease=300)
            lost = jobs.complete_many(runs)
            slowest = max(slowest, time.monotonic() - began)
            assert not lost
            if not runs:
                break
            claimed += [(run.id, run.token) for run in runs]
        send({"claimed": claimed, "slowest": slowest})


@role
def submit_key(path: str, rounds: str) -> None:
    """Submit the same keys as everybody else."""
    with jobstate.open(path, durability="normal") as jobs:
        ready()
        found = [jobs.submit("extract", {"n": n}, key=f"key-{n}") for n in range(int(rounds))]
        send([(job.id, job.deduplicated) for job in found])


@role
def open_first(path: str, durability: str) -> None:
    """Open a file that nobody has opened before, at the same time as others, and use it."""
    ready()
    with jobstate.open(path, durability=cast("Durability", durability)) as jobs:
        job = jobs.submit("extract")
        send([job.id, jobs.audit().ok])


@role
def upgrade(path: str) -> None:
    """Open a file with a jobstate whose schema is one version newer."""
    install_later_version()
    ready()
    with jobstate.open(path, durability="normal") as jobs:
        send([jobs.submit("extract").id, jobs.audit().ok])


def install_later_version() -> None:
    """Make this process a later jobstate, whose schema has one table more; to make it twice fails."""
    from jobstate.storage.schema import migrations

    *_, newest = migrations.MIGRATIONS
    number = newest.version + 1
    (guard,) = (one for one in newest.statements("{prefix}") if one.startswith("CREATE TRIGGER {prefix}meta_update_"))
    sql = (
        "CREATE TABLE {prefix}later (id INTEGER NOT NULL) STRICT;\n"
        "DROP TRIGGER {prefix}meta_update_guard;\n"
        f"UPDATE {{prefix}}meta SET value = '{number}' WHERE name = 'schema_version';\n"
        f"{guard}\n"
    )
    later = migrations.Migration(number, newest.fingerprint, sql)
    migrations.MIGRATIONS = (*migrations.MIGRATIONS, later)


@role
def hold(path: str, name: str, lease: str, count: str) -> None:
    """Claim, say what, and do nothing more until killed; then try to complete it, as a zombie would."""
    with jobstate.open(path) as jobs:
        runs = jobs.claim(name, limit=int(count), lease=float(lease))
        send([[run.id, run.token] for run in runs])
        sys.stdin.readline()
        outcomes = []
        for run in runs:
            try:
                run.add_range("blocks", 0, 9)
                run.flush()
                outcomes.append("written")
            except jobstate.LeaseLost:
                outcomes.append("fenced")
            try:
                run.complete()
                outcomes.append("completed")
            except jobstate.LeaseLost:
                outcomes.append("fenced")
        send(outcomes)


@role
def loop(path: str, name: str, cooperates: str, shutdown_timeout: str) -> None:
    """Take one job after the other, in a loop of its own."""
    with (
        jobstate.open(path, durability="normal") as jobs,
        jobs.worker(name, lease=30, shutdown_timeout=float(shutdown_timeout)) as worker,
    ):
        send("ready")
        for run in worker:
            with run:
                _work(run, cooperates == "yes")
    send("left")


@role
def serve(path: str, name: str, cooperates: str, shutdown_timeout: str, concurrency: str = "3") -> None:
    """Serve handlers with several threads."""
    with jobstate.open(path, durability="normal") as jobs:
        worker = jobs.worker(name, lease=30, shutdown_timeout=float(shutdown_timeout))
        threading.Thread(target=_say_when_registered, args=(path, name), daemon=True).start()
        worker.serve({"extract": lambda run: _work(run, cooperates == "yes")}, concurrency=int(concurrency))
    send("left")


def _say_when_registered(path: str, name: str) -> None:
    with jobstate.open(path) as jobs:
        while name not in {worker.node_id for worker in jobs.workers()}:
            time.sleep(0.005)
    send("ready")


def _work(run: Run, cooperates: bool) -> None:
    send({"began": run.id, "at": time.time()})
    while True:
        if cooperates:
            try:
                run.raise_if_stopping()
            except jobstate.JobStopping as stopping:
                send({"asked": run.id, "mode": stopping.mode, "at": time.time()})
                raise
        time.sleep(0.001)


@role
def idle(path: str, seconds: str) -> None:
    """Work where there is no work; how much of a core that takes."""
    with jobstate.open(path) as jobs, jobs.worker("idler", lease=30) as worker:
        send("ready")
        threading.Thread(target=_measure, args=(float(seconds), worker.shut_down), daemon=True).start()
        for run in worker:
            run.release()
    send("left")


def _measure(seconds: float, then: Callable[[], None]) -> None:
    time.sleep(0.5)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    time.sleep(seconds)
    after, took = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    send((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / took)
    then()


@role
def try_to_write(path: str) -> None:
    """Try for a moment to write a file that somebody may hold."""
    with jobstate.open(path, timeout=30) as jobs:
        send("ready")
        sys.stdin.readline()
        busy = jobstate.open(path, timeout=0.2)
        try:
            jobs.counts()
            busy.submit("other")
        except jobstate.StoreBusy:
            send("busy")
        else:
            send("written")
        busy.close()


@role
def stop_when_told(path: str, job_id: str) -> None:
    """Stop a job at once, and say when."""
    with jobstate.open(path, durability="normal") as jobs:
        ready()
        jobs.stop(int(job_id), mode="force")
        send(time.time())


@role
def forker(path: str, way: str) -> None:
    """Fork with a store open; the child tries to use it and ends; the parent continues."""
    jobs = jobstate.open(path, durability="normal")
    jobs.submit("before")
    with jobs.batch():
        jobs.submit("in the open transaction")
        child = os.fork()
        if child == 0:
            _forked(jobs, way)
        _, status = os.waitpid(child, 0)
        send({"child": os.waitstatus_to_exitcode(status)})
        sys.stdin.readline()  # the test checks whether this process still holds the lock
    for _ in range(50):
        jobs.submit("after")
    send({"audit": jobs.audit().ok, "jobs": sum(jobs.counts().values())})
    jobs.close()


def _forked(jobs: jobstate.JobStore, way: str) -> None:
    """In the child: 7 when the store refused to be used and a store of its own worked."""
    try:
        jobs.counts()
    except jobstate.StoreForked:
        code = 7
    else:
        code = 1
    if code == 7 and way == "reopen":
        with jobstate.open(jobs.path) as own:
            code = 7 if own.counts() else 1
    if code == 7 and way == "close":
        jobs.close()
    if way == "hard":
        os._exit(code)
    sys.exit(code)


@role
def chatter(path: str) -> None:
    """Submit, claim, complete for ever."""
    with jobstate.open(path, durability="normal", timeout=30) as jobs:
        send("ready")
        me = f"w{os.getpid()}"
        while True:
            jobs.submit_many([{"kind": "extract", "descriptor": {"pad": "x" * 200}} for _ in range(5)])
            jobs.complete_many(jobs.claim(me, limit=4))


@role
def crash_loop(path: str, durability: str, seed: str) -> None:
    """Submit, claim, report, complete, stop, and say each change once it was acknowledged."""
    with jobstate.open(path, durability=cast("Durability", durability), timeout=30) as jobs:
        send("ready")
        me = f"w{seed}-{os.getpid()}"
        number = 0
        while True:
            number += 1
            job = jobs.submit(me, {"n": number}, key=f"{me}:{number}")
            send(["Scheduled", job.id, job.seq])
            if number % 5 == 0:
                result = jobs.stop(job, mode="force")
                send([result.job.state, job.id, result.job.seq])
            for run in jobs.claim(me, kinds=[me], lease=300):
                send(["Running", run.id, run.job.seq])
                run.add_range("blocks", 0, number)
                checkpoint = run.checkpoint(state=number)
                send(["checkpoint", run.id, checkpoint.epoch])
                if number % 3 == 0:
                    failed = run.fail("disk gone", retryable=False)
                    send([failed.state, run.id, failed.seq])
                else:
                    run.complete()
                    send(["Completed", run.id, run.job.seq + 1])
            if number % 7 == 0:
                jobs.delete(job)
                send(["deleted", job.id, 0])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ROLES[sys.argv[1]](*sys.argv[2:])
