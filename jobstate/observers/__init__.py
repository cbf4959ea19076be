"""Observers: called for each transition, claim, heartbeat, lost lease and sweep of this process, after the commit."""
