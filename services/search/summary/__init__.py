"""Whole queries in figures: totals, facets, histograms."""
