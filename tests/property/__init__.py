"""Laws of the pure domain, held against generated lives, values and histories."""
