"""The plugin in projects of others, as pytest loads it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHORT = "[pytest]\njobstate_short_names = true\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that wants the short names."""
    pytester.makeini(SHORT)
    return pytester


def test_all_fixtures_work_under_both_names(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from jobstate import State

        def test_short(jobs, clock, job_in, run_one, drain):
            assert jobs.get(job_in("Rescaling")).state is State.RESCALING
            jobs.submit("extract")
            assert run_one({"extract": lambda run: clock.advance("2s")}).state is State.COMPLETED
            assert drain({"extract": print}) == []

        def test_long(jobstate_store, jobstate_clock, jobstate_job_in, jobstate_run_one, jobstate_drain, jobs):
            assert jobstate_store is jobs
        """
    )
    project.runpytest("--strict-markers", "--strict-config").assert_outcomes(passed=2)


def test_the_store_is_awaited_too_with_its_clock_and_faults(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio
        import pytest
        from jobstate import State, StoreBusy
        from jobstate.testing import busy

        def test_by_asyncio(aio_jobs, jobs, clock):
            async def main():
                job = await aio_jobs.submit("extract", max_attempts=1)
                await aio_jobs.claim("w1", lease=30)
                clock.advance("31s")
                assert (await aio_jobs.wait(job)).state is State.FAILED
                with busy("submit"), pytest.raises(StoreBusy):
                    await aio_jobs.submit("extract")
                assert jobs.get(job) == await aio_jobs.get(job)

            asyncio.run(main())

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_by_a_plugin(jobstate_aio_store, anyio_backend):
            job = await jobstate_aio_store.submit("extract")
            assert [event.job_id async for event in jobstate_aio_store.watch(timeout=1)] == [job.id]
        """
    )
    project.runpytest("--strict-markers", "--strict-config", "-W", "error").assert_outcomes(passed=2)


def test_short_names_are_there_only_where_they_are_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(jobs): pass\ndef test_other(jobstate_store): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*fixture 'jobs' not found*"])


def test_a_fixture_of_the_project_comes_before_a_short_name(project: pytest.Pytester) -> None:
    project.makeconftest("import pytest\n@pytest.fixture\ndef clock(): return 'its own'")
    project.makepyfile("def test_it(clock, jobs, jobstate_clock): assert clock == 'its own' != jobstate_clock")
    project.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "arguments", "marker", "expected"),
    [
        ("", [], "", "memory"),
        ("jobstate_store = file", [], "", "file"),
        ("", ["--jobstate-store=file"], "", "file"),
        ("jobstate_store = file", ["--jobstate-store=memory"], "", "memory"),
        ("", [], "store='file'", "file"),
        ("", ["--jobstate-store=file"], "store='memory'", "memory"),
    ],
)
def test_where_the_store_is_follows_the_marker_then_the_option_then_the_configuration(
    pytester: pytest.Pytester, ini: str, arguments: list[str], marker: str, expected: str
) -> None:
    pytester.makeini(SHORT + ini)
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.jobstate({marker})
        def test_it(jobs):
            assert (jobs.path == ":memory:") == ({expected!r} == "memory")
        """
    )
    pytester.runpytest(*arguments).assert_outcomes(passed=1)


def test_the_marker_passes_options_of_a_store_along(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.jobstate(actor="ana", stop_timeout=5)
        def test_it(jobs, job_in):
            job = job_in("Stopping")
            assert jobs.events(job)[0].actor == "ana"
            assert (job.stop.deadline - job.created_at).total_seconds() == 5
        """
    )
    project.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "marker", "words"),
    [
        ("jobstate_store = disk", "", "jobstate_store must be one of memory, file"),
        ("", "store='disk'", "the marker jobstate: store must be one of memory, file, not 'disk'"),
        ("", "'file'", "the marker jobstate takes keywords only"),
        ("", "stop_timeout=-1", "stop_timeout: must be a duration"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_may_be_chosen(
    pytester: pytest.Pytester, ini: str, marker: str, words: str
) -> None:
    pytester.makeini(SHORT + ini)
    pytester.makepyfile(f"import pytest\n@pytest.mark.jobstate({marker})\ndef test_it(jobs): pass")
    result = pytester.runpytest()
    assert result.ret != 0
    assert words in result.stdout.str() + result.stderr.str()


def test_each_test_has_a_store_of_its_own(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        paths = set()

        @pytest.mark.parametrize("number", range(3))
        @pytest.mark.parametrize("store", [pytest.param("memory", marks=pytest.mark.jobstate(store="memory")),
                                           pytest.param("file", marks=pytest.mark.jobstate(store="file"))])
        def test_it(jobs, tmp_path, store, number):
            assert jobs.submit("extract").id == 1
            assert jobs.path == ":memory:" or jobs.path not in paths
            paths.add(jobs.path)
            assert list(tmp_path.iterdir()) == []
        """
    )
    project.runpytest().assert_outcomes(passed=6)


def test_a_failing_test_shows_the_histories_of_its_jobs_and_the_faults_that_came(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from jobstate.testing import crash_after

        def test_it(jobs, drain, clock):
            jobs.submit("extract", reason="nightly")
            with crash_after("claim"):
                drain({"extract": print})
            clock.advance("31s")
            jobs.sweep()
            assert jobs.get(1).state == "Completed"

        def test_without_jobs(jobs):
            assert False

        def test_good(jobs):
            jobs.submit("silent")
        """
    )
    result = project.runpytest("-rP")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*jobstate: faults that occurred*",
            "a crash after claim",
            "*jobstate: histories of the jobs*",
            "job 1 (extract) is Recovering, attempt 1: the lease of worker-01 ran out",
            "*+0.0 s  submit        Scheduled     test: nightly",
            "*+0.0 s  claim         Running       worker:worker-01",
            "*+31.0 s  recover       Recovering    sweep:test: *",
        ]
    )
    assert result.stdout.str().count("histories of the jobs") == 1
    assert "silent" not in result.stdout.str()


def test_a_store_that_was_closed_by_the_test_does_not_hide_its_failure(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(jobs):\n    jobs.close()\n    assert 1 == 2")
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*", "*histories of the jobs*", "cannot be read: *"])


def test_a_clock_cannot_be_turned_beside_a_worker_process(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(worker_process, clock): pass")
    result = project.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*clock: is that of the machine here*"])


def test_a_worker_process_that_a_test_leaves_is_killed_and_its_words_are_shown(project: pytest.Pytester) -> None:
    (project.mkdir("src") / "tasks.py").write_text(
        "def wait(run):\n    while True:\n        run.raise_if_stopping()\n\nHANDLERS = {'wait': wait}\n"
    )
    project.makepyfile(
        test_it="""
        from pathlib import Path

        def test_it(jobs, worker_process):
            worker = worker_process("tasks:HANDLERS")
            jobs.submit("wait")
            jobs.wait(1, until="running", timeout=30)
            Path("pid").write_text(str(worker.pid))
            assert False
        """,
    )
    result = project.runpytest("-o", "pythonpath=src")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*jobstate: worker process-1, process *", "worker process-1 runs wait from *"])
    with pytest.raises(ProcessLookupError):
        os.kill(int((project.path / "pid").read_text()), 0)


def test_a_test_that_does_not_use_it_imports_no_store(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            heavy = {"peewee", "sqlite3", "transitions", "hypothesis", "jobstate.domain", "jobstate.store"}
            print("IMPORTED", sorted(heavy & set(sys.modules)))
        """
    )
    project.makepyfile("import jobstate\nfrom jobstate import testing\ndef test_it(): pass\ndef test_other(jobs): pass")
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for arguments, expected in ((["--collect-only"], "[]"), (["-k", "test_it"], "[]"), ([], None)):
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-s", "-p", "jobstate.testing.plugin", *arguments],
            cwd=project.path, env=alone, capture_output=True, text=True, check=True,
        )  # fmt: skip
        (told,) = [line.removeprefix("IMPORTED ") for line in result.stdout.splitlines() if "IMPORTED" in line]
        assert told == expected if expected else "peewee" in told


def test_pytest_finds_the_plugin_by_its_entry_point(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--trace-config", "--markers")
    result.stdout.fnmatch_lines(["*@pytest.mark.jobstate(store='memory', ?*options): *"])
    assert "jobstate.testing.plugin" in result.stdout.str().replace(os.sep, ".")
