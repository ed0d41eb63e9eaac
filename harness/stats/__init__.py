"""Metrics, confidence intervals, statistical tests and their power: pure functions of arrays, without torch."""

CONFIDENCE_LEVEL = 0.95  # of every interval
UPPER_END = 0.5 + CONFIDENCE_LEVEL / 2  # the quantile at the upper end of an interval
ALPHA = 0.05  # the significance level of every test
ROUNDING = 1e-9  # proportions and losses that differ by less differ only by floating-point error
