"""Values as they go over a wire: how each dialect spells states, and what a job looks like as JSON."""
