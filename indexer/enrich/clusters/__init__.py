"""Cluster runs: fitting, writing to the images, naming, comparing."""
