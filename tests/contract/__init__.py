"""The suite that `jobstate.testing.contract` ships, over each of our kinds of store, and what lies beside it."""
