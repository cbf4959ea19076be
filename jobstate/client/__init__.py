"""The verbs of a store, against a server elsewhere."""
