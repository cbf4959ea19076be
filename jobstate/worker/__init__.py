"""Runs of jobs, and the worker that claims and serves them."""
