"""Promises about speed, measured: `python -m benchmarks` prints ratios against a baseline of the same run."""
