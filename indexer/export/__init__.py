"""Images and what is known about them out of a category: tables, folders, SQLite."""
