"""What others run on a change is what `.ci/run` runs: the workflow, and the hooks before a commit."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
RUN: Final = (ROOT / ".ci" / "run").read_text()
WORKFLOW: Final[dict[str, Any]] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
HOOKS: Final[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())


def test_the_workflow_runs_the_script_alone_on_every_python_that_is_supported() -> None:
    (job,) = WORKFLOW["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    assert job["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


def test_every_hook_runs_what_the_script_runs_from_a_clone_alone() -> None:
    (repository,) = HOOKS["repos"]
    assert repository["repo"] == "local"
    checks = [
        line.strip().removeprefix("step ").replace('"$bin/', ".venv/bin/").replace('"', "") for line in RUN.splitlines()
    ]
    hooks = {hook["id"]: hook["entry"] for hook in repository["hooks"]}
    assert hooks.pop("generated") == ".venv/bin/python -m pytest -q -k generated_parts tests/architecture"
    assert set(hooks.values()) <= set(checks)
    assert hooks.keys() == {"format", "lint", "types", "layers"}


def test_the_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
