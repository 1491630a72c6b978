"""Searching a category."""
