"""How programs of one user reach the engine of a data folder: who starts it, where it listens, what
crosses."""
