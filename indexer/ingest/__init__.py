"""Images into a category: the indexing pipeline, uploads and importers."""
