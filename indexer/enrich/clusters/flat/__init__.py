"""Flat clusterings: a grid of methods, compared by indices."""
