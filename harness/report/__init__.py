"""What is made of stored results: tables, figures, a page."""

import logging

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells where it keeps its fonts, and which it lacks
