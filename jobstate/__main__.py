"""`python -m jobstate COMMAND` is `jobstate COMMAND`."""

from jobstate.cli import main

main()
