"""Machines that drive a store and a model of it with the same steps."""
