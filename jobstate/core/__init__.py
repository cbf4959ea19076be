"""What stores, workers and clients share: the context of a store, its arguments, and waiting for changes."""
