"""How jobs are run: executors, the order of jobs, what they cost."""
