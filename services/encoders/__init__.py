"""Encoders: from a reference (a preset, a folder, a hub name) to embeddings of images and texts."""
