"""Vitrine: image search around Qdrant. This package is the way in for Python programs and notebooks."""
