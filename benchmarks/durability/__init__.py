"""What survives kills, power cuts and damage, of writes, jobs and backups, and what it costs to be sure."""
