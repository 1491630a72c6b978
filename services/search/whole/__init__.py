"""Answers over all images that a question finds: totals, groups, and a category as arrays."""
