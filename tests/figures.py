"""Figures in tests: a blank file in the place of each, since drawing them takes half the time of a small study."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

DRAW = Figure.savefig


def _blank(figure: Figure, path: Path, **_options: Any) -> None:
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><!-- {len(figure.axes)} axes --></svg>')


def leave_blank() -> None:
    """Write blank files for figures from now on in this process."""
    Figure.savefig = _blank  # type: ignore[assignment]


@contextmanager
def figures(drawn: bool) -> Iterator[None]:
    """Draw figures within the block, or leave them blank."""
    before = Figure.savefig
    Figure.savefig = DRAW if drawn else _blank  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Figure.savefig = before  # type: ignore[method-assign]
