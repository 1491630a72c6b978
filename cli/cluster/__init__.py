"""``vitrine cluster``."""
