"""Filters: which images are meant, in types of our own, and in Qdrant's JSON."""
