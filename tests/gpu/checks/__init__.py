"""What is checked on a GPU, by subject. A check returns what it found in words; an AssertionError is a FAIL."""
