"""What each command shows, to the letter: `python -m tests.adapters.golden --write` renews the files."""
