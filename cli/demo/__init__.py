"""``vitrine demo``."""
