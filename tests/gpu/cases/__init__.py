"""Tests that need the simulated device: `tests/gpu/test_simulated.py` runs each file in a process of its own."""
