"""Values and decisions: no grid, in seconds."""
