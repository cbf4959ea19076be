"""The command line, `jobstate COMMAND`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command that the arguments name."""
    try:
        from jobstate.cli.registry import cli

        if "_JOBSTATE_COMPLETE" in os.environ:  # the shell completes a line
            from jobstate.cli.completion import install

            install()
        cli.main(prog_name="jobstate")
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        from jobstate.core.installation import install_command

        sys.exit(f"the command line needs the package {error.name}; install it with: {install_command('cli')}")
    except KeyboardInterrupt:  # while the commands were imported
        sys.exit(130)
