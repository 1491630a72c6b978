"""Cluster runs as files: treemaps, contact sheets, pages, dendrograms."""
