"""``vitrine images``."""
