"""`Operations`: the verbs that a store and a client of its server share."""

from __future__ import annotations

from jobstate.operations.commands import Commands
from jobstate.operations.queries import Queries


class Operations(Commands, Queries):
    """What an operator does with jobs, in a store of this process or through a server.

    Each verb validates its arguments, builds a request (`jobstate.operations.requests`) and performs it. `JobStore`
    performs it on its repository, `JobClient` sends it.
    """
