"""What leaves and enters the process: documents, records, the spelling of states, errors and text."""
