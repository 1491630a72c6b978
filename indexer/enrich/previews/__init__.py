"""Dominant colours, blurs and thumbnails."""
