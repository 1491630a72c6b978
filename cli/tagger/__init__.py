"""``vitrine tagger``."""
