"""Observers for Prometheus and OpenTelemetry, and a filter that adds the run to log records."""
