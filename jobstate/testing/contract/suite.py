"""The suite as a class, from which the tests of a store derive theirs."""

from __future__ import annotations

from types import ModuleType

from jobstate.testing.contract.areas import (
    agreement,
    audit,
    backups,
    checkpoints,
    claiming,
    deleting,
    history,
    listing,
    logs,
    metrics,
    odd_arguments,
    output,
    progress,
    rescaling,
    restarting,
    run_blocks,
    settling,
    sharing,
    slices,
    stopping,
    submitting,
    transactions,
    two_phases,
    validation,
    waiting,
    worker_loop,
    worker_shutdown,
    worker_troubles,
    worker_verbs,
)
from jobstate.testing.contract.fixtures import StoreFixtures


def _area(module: ModuleType) -> type:
    """The tests of a module as a class, which pytest collects as a member of the suite."""
    tests = {name: staticmethod(test) for name, test in vars(module).items() if name.startswith("test_")}
    return type(module.__name__, (), {"__doc__": module.__doc__, **tests})


class StoreContract(StoreFixtures):
    """The promises of every store, as tests: derive a class from it whose name begins with `Test`.

    It needs a fixture `store_kind`, in the class, its module or a conftest, that returns a `StoreKind`.
    """

    TestAgreement = _area(agreement)
    TestAudit = _area(audit)
    TestBackups = _area(backups)
    TestCheckpoints = _area(checkpoints)
    TestClaiming = _area(claiming)
    TestDeleting = _area(deleting)
    TestHistory = _area(history)
    TestListing = _area(listing)
    TestLogs = _area(logs)
    TestMetrics = _area(metrics)
    TestOddArguments = _area(odd_arguments)
    TestOutput = _area(output)
    TestProgress = _area(progress)
    TestRescaling = _area(rescaling)
    TestRestarting = _area(restarting)
    TestRunBlocks = _area(run_blocks)
    TestSettling = _area(settling)
    TestSharing = _area(sharing)
    TestSlices = _area(slices)
    TestStopping = _area(stopping)
    TestSubmitting = _area(submitting)
    TestTransactions = _area(transactions)
    TestTwoPhases = _area(two_phases)
    TestValidation = _area(validation)
    TestWaiting = _area(waiting)
    TestWorkerLoop = _area(worker_loop)
    TestWorkerShutdown = _area(worker_shutdown)
    TestWorkerTroubles = _area(worker_troubles)
    TestWorkerVerbs = _area(worker_verbs)
