"""What survives kills and power cuts, and what it costs to be sure of a write."""
