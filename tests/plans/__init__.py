"""How SQLite goes about the statements of the store, on stores of awkward shapes."""
