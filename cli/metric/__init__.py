"""``vitrine metric``."""
