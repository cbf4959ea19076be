"""`JobStore`, and how it is opened."""
