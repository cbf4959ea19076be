"""The store: the only part of jobstate that knows peewee and SQL."""
