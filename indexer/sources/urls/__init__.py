"""Images that are named by URL, in lists and in tables."""
