"""Reports from stored results: numbers, tables, figures, pages."""

import logging

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # not its messages about fonts
