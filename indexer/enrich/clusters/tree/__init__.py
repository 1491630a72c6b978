"""The cluster tree: k-means, level by level."""
