"""Work in the background: the queue of runs, the supervisor and its worker processes."""
