"""The port: the protocols that a store implements, and the check of a store that a caller brings."""
