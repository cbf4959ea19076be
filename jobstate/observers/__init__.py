"""Telling others what happened to jobs, once it is committed."""
