"""Building the index of the embedded engine: in parts, on a copy, in a process of its own."""
