"""The tests of the suite: what every store promises, a module for each sort of promise."""
