"""Ready observers, for Prometheus and OpenTelemetry, and what binds records of `logging` to the run they are about."""
