"""Near-duplicates: candidates, comparison of the pictures, groups, and what to keep."""
