"""The distribution that jobstate is installed from: its name, its extras, and what else claims the same package."""

from __future__ import annotations

from importlib import metadata
from typing import Final

PACKAGE: Final = "jobstate"
DISTRIBUTION: Final = "jobstate-ledger"
"""What pip installs. `jobstate` on the package index is another program, with a package and a command of that name."""


def install_command(extra: str) -> str:
    """The command that installs jobstate with one of its extras, such as `cli`."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def rivals() -> list[str]:
    """Other installed distributions that own the package `jobstate` too: whichever was installed last overwrote it."""
    return sorted(set(metadata.packages_distributions().get(PACKAGE, ())) - {DISTRIBUTION})
