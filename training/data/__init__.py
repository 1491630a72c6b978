"""Labelled images and how they are split."""
