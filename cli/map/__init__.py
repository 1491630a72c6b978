"""``vitrine map``."""
