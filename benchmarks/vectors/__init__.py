"""The vector engine: searches, filters, and a million images."""
