"""Several studies beside each other: `harness compare` and `harness suite`."""
