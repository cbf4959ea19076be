"""What jobstate offers to the tests of others."""
