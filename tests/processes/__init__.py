"""Real processes on one file: contention, death, signals, forks."""
