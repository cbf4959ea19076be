"""The fixtures under short names, for projects that configure `jobstate_short_names = true`.

A fixture of the same name in a conftest or a test module overrides them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobstate.aio import AsyncJobStore
    from jobstate.store.job_store import JobStore
    from jobstate.testing.clock import ManualClock
    from jobstate.testing.job_states import JobIn
    from jobstate.testing.processes import StartWorker
    from jobstate.testing.runner import Drain, RunOne


@pytest.fixture
def jobs(jobstate_store: JobStore) -> JobStore:
    """`jobstate_store`: a new, empty store."""
    return jobstate_store


@pytest.fixture
def aio_jobs(jobstate_aio_store: AsyncJobStore) -> AsyncJobStore:
    """`jobstate_aio_store`: `jobs`, awaited."""
    return jobstate_aio_store


@pytest.fixture
def clock(jobstate_clock: ManualClock) -> ManualClock:
    """`jobstate_clock`: the clock of the store, which moves only with `clock.advance("31s")`."""
    return jobstate_clock


@pytest.fixture
def job_in(jobstate_job_in: JobIn) -> JobIn:
    """`jobstate_job_in`: `job_in("Stopping")` is a new job in that state."""
    return jobstate_job_in


@pytest.fixture
def run_one(jobstate_run_one: RunOne) -> RunOne:
    """`jobstate_run_one`: `run_one()` runs the next job, in this thread."""
    return jobstate_run_one


@pytest.fixture
def drain(jobstate_drain: Drain) -> Drain:
    """`jobstate_drain`: `drain()` runs jobs, in this thread, until none is due."""
    return jobstate_drain


@pytest.fixture
def worker_process(jobstate_worker_process: StartWorker) -> StartWorker:
    """`jobstate_worker_process`: `worker_process("tasks:HANDLERS")` is a real worker process, killed at the end."""
    return jobstate_worker_process
