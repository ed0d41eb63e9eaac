"""What a person reads on standard output."""
