"""Raw SQL against the file: what the database itself refuses, whoever writes."""
