"""For sessions of `pytester` within this process."""

from __future__ import annotations

import jobstate
import jobstate.aio
import jobstate.testing
import jobstate.testing.contract

LOADED = [
    *(getattr(jobstate, name) for name in dir(jobstate)),
    *(getattr(package, name) for package in (jobstate.aio, jobstate.testing) for name in package.__all__),
]
"""What such a session imports is forgotten after it: nothing of jobstate may be."""
