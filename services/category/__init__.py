"""A category: its manifest, its payload fields, filters on them, edits, and reading all its images."""
