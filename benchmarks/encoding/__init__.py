"""How fast pictures become vectors, and what it takes in memory."""
