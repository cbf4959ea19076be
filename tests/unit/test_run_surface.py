"""What a handler sees on its run, and nothing else."""

from __future__ import annotations

from jobstate import Run

CLAIM = {"job", "id", "token", "lease", "restored", "parallelism"}
REQUESTS = {"stop", "stopping", "rescale_to", "raise_if_stopping"}
STATUS = {"lost", "settled"}
REPORTS = {"progress", "add_range", "add_files", "set_progress", "metrics", "log", "note", "emit", "flush"}
CHECKPOINTS = {"checkpoint", "begin_checkpoint", "complete_checkpoint", "fail_checkpoint"}
VERBS = {"heartbeat", "complete", "fail", "release", "begin_stop", "finish_stop", "rescaled"}


def test_the_public_names_of_a_run_are_those_that_a_handler_may_use() -> None:
    public = {name for name in dir(Run) if not name.startswith("_")}
    assert public == CLAIM | REQUESTS | STATUS | REPORTS | CHECKPOINTS | VERBS


def test_a_run_is_one_class() -> None:
    assert Run.__mro__ == (Run, object)
