"""Scores of taggers, written to the images."""
