"""The suite for stores in projects of others: it passes over a sound one, and finds what is wrong with the others."""

from __future__ import annotations

import pytest

import jobstate.testing.contract
from jobstate.ports import conformance
from jobstate.ports.repository import Repository
from tests.testing import odd_stores

MODULE = """
import pytest
from jobstate.testing.contract import StoreContract, StoreKind
from tests.contract.ported import in_a_file
from tests.testing.odd_stores import {maker}

class TestMyStore(StoreContract):
    @pytest.fixture
    def store_kind(self):
        return StoreKind(make={maker}, again={again}, from_backup={from_backup})
"""


def project(pytester: pytest.Pytester, maker: str, again: str = "None", from_backup: str = "None") -> pytest.Pytester:
    pytester.makepyfile(test_store=MODULE.format(maker=maker, again=again, from_backup=from_backup))
    return pytester


def failures(result: pytest.RunResult) -> list[str]:
    """The tests that failed, from the name of their area on."""
    lines = [line for line in result.outlines if line.startswith("FAILED ")]
    return [line.removeprefix("FAILED test_store.py::TestMyStore::").split(" - ")[0] for line in lines]


@pytest.mark.slow
def test_the_suite_needs_nothing_but_the_port_and_asks_for_all_of_it(pytester: pytest.Pytester) -> None:
    result = project(pytester, "notes_what_it_is_asked", from_backup="in_a_file").runpytest("-rf")
    assert (result.ret, failures(result)) == (0, [])
    assert result.parseoutcomes()["passed"] > 700
    named = {("", Repository), *conformance.parts().items()}
    assert {(part, name) for part, protocol in named for name in conformance.methods_of(protocol)} == odd_stores.ASKED


EVERYDAY = ("claims twice", "keeps what failed", "ends its lists early")
DEFECTS = [pytest.param(name, marks=[] if name in EVERYDAY else pytest.mark.slow) for name in odd_stores.BROKEN]
AREAS = sorted({expected.split("::")[0] for _, expected in odd_stores.BROKEN.values()})


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(pytester: pytest.Pytester, defect: str) -> None:
    maker, expected = odd_stores.BROKEN[defect]
    area, _, name = expected.partition("::")
    result = project(pytester, maker.__name__).runpytest("-rf", f"test_store.py::TestMyStore::{area}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert any(failed.startswith(expected) for failed in failures(result)), (name, failures(result))


@pytest.mark.slow
@pytest.mark.parametrize("area", AREAS)
def test_a_sound_store_passes_where_the_defects_are_found(pytester: pytest.Pytester, area: str) -> None:
    result = project(pytester, "sound").runpytest("-rf", f"test_store.py::TestMyStore::{area}")
    assert (result.ret, failures(result)) == (0, [])


def test_a_failure_shows_what_was_there_instead(pytester: pytest.Pytester) -> None:
    chosen = "test_store.py::TestMyStore::TestClaiming::test_an_idle_claim_changes_nothing"
    result = project(pytester, "claims_twice").runpytest(chosen)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TestMyStore.TestClaiming.test_an_idle_claim_changes_nothing*", "E *<Run * == []*"])


def test_what_a_store_cannot_do_is_said_and_shown(pytester: pytest.Pytester) -> None:
    result = project(pytester, "sound").runpytest("-rs", "-k", "TestSharing or TestBackups")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"skipped", "deselected"}
    result.stdout.fnmatch_lines(
        [
            "*store_kind says from_backup=None: this store makes no backups",
            "*store_kind says again=None: this store cannot be opened twice",
        ]
    )


def test_a_claim_to_be_opened_twice_is_held_against_the_store(pytester: pytest.Pytester) -> None:
    result = project(pytester, "sound", again="lambda store: sound()").runpytest("-rf", "-k", "test_each_sees")
    assert failures(result) == ["TestSharing::test_each_sees_what_the_other_wrote"]


def test_a_kind_says_all_that_is_asked_of_it(pytester: pytest.Pytester) -> None:
    with pytest.raises(TypeError, match=r"again.*from_backup"):
        jobstate.testing.contract.StoreKind(make=odd_stores.sound)  # type: ignore[call-arg]


def test_single_tests_and_areas_are_left_out_or_marked(pytester: pytest.Pytester) -> None:
    project(pytester, "claims_twice")
    pytester.makeconftest(
        """
        import pytest

        NOT_YET = {"test_two_workers_never_hold_the_same_job"}

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.originalname in NOT_YET:
                    item.add_marker(pytest.mark.xfail(reason="claims twice", strict=True))
        """
    )
    area = "test_store.py::TestMyStore::TestClaiming"
    result = pytester.runpytest(area, "--deselect", f"{area}::test_an_idle_claim_changes_nothing", "-rf")
    outcomes = result.parseoutcomes()
    assert (outcomes["xfailed"], outcomes["deselected"]) == (1, 1)
    assert not {"test_two_workers_never_hold_the_same_job", "test_an_idle_claim_changes_nothing"} & {
        name.split("::")[1] for name in failures(result)
    }
