"""The calls of observers, and what those for Prometheus and OpenTelemetry make of them, with the real SDKs."""
