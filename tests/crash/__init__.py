"""Processes that die at any moment, and power cuts at any write."""
