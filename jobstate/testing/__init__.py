"""For tests of code that uses jobstate."""
