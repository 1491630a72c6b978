"""``vitrine backup``."""
