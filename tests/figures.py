"""Figures in tests: a blank file in the place of each, since drawing them takes half the time of a small study.

To be imported before any module with figures, whose functions it wraps.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import getsource, signature
from pathlib import Path
from typing import ParamSpec

from harness.report.figures import drawing

P = ParamSpec("P")
BLANK = '<svg xmlns="http://www.w3.org/2000/svg"/>'
DRAWN = drawing.drawn
_state = {"drawn": True}

assert "harness.report.figures.scenario_figures" not in sys.modules, "its figures would be drawn"


def _blankable(draw: Callable[P, Path]) -> Callable[P, Path]:
    """What `drawn` makes of a function, and blank files in its place while figures are left blank."""
    real, parameters, source = DRAWN(draw), signature(draw), getsource(draw)

    @wraps(real)
    def drawn_or_blank(*args: P.args, **kwargs: P.kwargs) -> Path:
        if _state["drawn"]:
            return real(*args, **kwargs)
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        path: Path = bound.arguments["path"]
        path.write_text(BLANK)
        if bound.arguments.get("vector") or "vector=True" in source:
            path.with_suffix(".svg").write_text(BLANK)
        return path

    return drawn_or_blank


drawing.drawn = _blankable


def leave_blank() -> None:
    """Write blank files for figures from now on in this process."""
    _state["drawn"] = False


@contextmanager
def figures(drawn: bool) -> Iterator[None]:
    """Draw figures within the block, or leave them blank."""
    before, _state["drawn"] = _state["drawn"], drawn
    try:
        yield
    finally:
        _state["drawn"] = before
