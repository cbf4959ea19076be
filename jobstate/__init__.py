"""The truth about jobs, in one file."""
