"""Running jobs: one run, and the worker that claims and serves them."""
