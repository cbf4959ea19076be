"""The fixtures on several cores at once, under pytest-xdist; and that our own tests can be shared out too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


ON_TWO_CORES = ("-p", "xdist", "-p", "jobstate.testing.plugin", "-n", "2")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with no other plugins, as each of them is loaded in three processes."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\njobstate_short_names = true\njobstate_store = file")
    return pytester


def test_each_test_has_a_store_of_its_own_on_two_cores(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os
        from pathlib import Path
        import pytest

        @pytest.mark.parametrize("number", range(20))
        def test_in_a_file(jobs, job_in, clock, drain, number):
            assert job_in("Running").id == 1
            clock.advance("31s")
            drain({"extract": print}, turn_clock=True)
            assert jobs.get(1).lease_expires_at is None or jobs.sweep() == []
            Path(f"seen-{number}").write_text(f"{os.environ['PYTEST_XDIST_WORKER']} {jobs.path}")

        @pytest.mark.parametrize("number", range(4))
        @pytest.mark.jobstate(store="memory")
        def test_in_memory(jobs, number):
            assert jobs.submit("extract").id == 1
        """
    )
    project.runpytest_subprocess(*ON_TWO_CORES).assert_outcomes(passed=24)
    seen = [path.read_text().split(" ", 1) for path in project.path.glob("seen-*")]
    assert {worker for worker, _ in seen} == {"gw0", "gw1"}
    assert len({path for _, path in seen}) == 20


@pytest.mark.slow
def test_worker_processes_of_two_cores_keep_to_their_stores(project: pytest.Pytester) -> None:
    (project.mkdir("src") / "tasks.py").write_text("HANDLERS = {'note': lambda run: run.checkpoint(state=run.id)}\n")
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(jobs, worker_process, number):
            worker = worker_process("tasks:HANDLERS")
            job = jobs.submit("note")
            assert (job.id, jobs.wait(job, timeout=30).state) == (1, "Completed")
            assert [info.pid for info in jobs.workers()] == [worker.pid]
        """
    )
    project.runpytest_subprocess(*ON_TWO_CORES, "-o", "pythonpath=src").assert_outcomes(passed=4)


def test_the_histories_of_a_failing_test_come_back_from_another_process(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(jobs):\n    jobs.submit('extract', reason='nightly')\n    assert False")
    result = project.runpytest_subprocess(*ON_TWO_CORES)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*jobstate: histories of the jobs*", "*submit        Scheduled     test: nightly"])


@pytest.mark.slow
def test_our_own_tests_have_one_order_in_every_process() -> None:
    found = []
    for seed in "12":
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--all"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
        found.append([line for line in result.stdout.splitlines() if "::" in line])
    assert len(found[0]) > 1000
    assert found[0] == found[1]
