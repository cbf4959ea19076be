"""The verbs that a store and a client of its server share."""
