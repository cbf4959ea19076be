"""Shared by stores, workers and clients: context, arguments, waiting and watching, cancellation."""
