"""Where images come from: folders, archives, tables and the object store."""
