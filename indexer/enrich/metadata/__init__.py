"""Metadata from tables and captions, added to images that are indexed."""
