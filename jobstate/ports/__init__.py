"""The port: what jobstate asks of a store, and how a store that a caller brings is checked."""
