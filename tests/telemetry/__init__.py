"""What observers are told, and what the ready ones make of it with the real SDKs."""
