"""Tests of the pure domain: they mirror `jobstate/domain`, without clock, chance or input and output."""
