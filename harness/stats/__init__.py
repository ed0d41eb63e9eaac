"""Intervals, tests and what they can resolve: pure functions of numbers, without torch, below everything else."""

LEVEL = 0.95  # of every interval
ALPHA = 0.05  # below it a difference counts
ROUNDING = 1e-9  # shares and losses that differ by less are equal, but for floating point
