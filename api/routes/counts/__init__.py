"""Routes that count, and that give a whole category as arrays."""
