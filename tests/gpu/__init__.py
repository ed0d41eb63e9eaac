"""The GPU path: the check for a person who has a GPU, and a simulated GPU for every machine without one."""
