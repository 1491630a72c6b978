"""Bodies of what was found in a category or learned from it: clusters, maps, near-duplicates, taggers."""
