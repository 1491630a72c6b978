"""Brings images in, finds out more about them, and takes them out again. It imports services."""

if __name__ != "vitrine.indexer":
    raise ImportError(
        "Import vitrine.indexer: under the name indexer its modules would be loaded a second time."
    )
