"""Long work as jobs: what is waiting, running and done, in a table; a supervisor that runs it in processes
of its own."""
