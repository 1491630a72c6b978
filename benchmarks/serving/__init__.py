"""How fast commands and servers start and answer, and the memory that they hold."""
