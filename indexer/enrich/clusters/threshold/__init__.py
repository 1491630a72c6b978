"""A similarity threshold from pairs that a person accepts or rejects."""
