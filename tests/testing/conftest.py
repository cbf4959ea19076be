"""For sessions of `pytester` within this process."""

from __future__ import annotations

import jobstate
import jobstate.aio
import jobstate.testing
import jobstate.testing.contract

LOADED = [getattr(package, name) for package in (jobstate, jobstate.aio, jobstate.testing) for name in package.__all__]
"""What such a session imports is forgotten after it: nothing of jobstate may be."""
