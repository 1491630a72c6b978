"""How far a job is, shown elsewhere than on a terminal."""
