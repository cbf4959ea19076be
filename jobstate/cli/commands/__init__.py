"""The commands: a file for one command, or for a few that share their words, named after it."""
