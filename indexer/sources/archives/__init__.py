"""Images in archives, read in place."""
