"""What can be wrong with a file or a disk, and what the store says then."""
