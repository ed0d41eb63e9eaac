"""What all figures share: style, names and titles of users, files, and the words in place of a failed figure."""

import os
import re
import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from pathlib import Path
from textwrap import fill, wrap
from typing import ParamSpec

import matplotlib

if not os.environ.get("MPLBACKEND", "").startswith("module://"):  # that of a notebook, which shows figures, stays
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.errors import attempt, failure
from harness.report.tables.export import escaped

plt.rcParams.update(
    {
        "figure.dpi": 130,
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "svg.hashsalt": "harness",
        "svg.fonttype": "none",
        "text.parse_math": False,  # classes are named by users: a dollar sign is a dollar sign
    }
)


P = ParamSpec("P")

SQUARE_TITLE_WIDTH = 44  # characters of a line above a figure of SQUARE_INCHES
SQUARE_INCHES = 4.2
MAX_TITLE_LINES = 4
MAX_CLASS_NAME = 40  # characters
MAX_SCENARIO_NAME = 120  # characters: all its levels
LABEL_WIDTH = 44  # characters of a line beside a row: longer names take two lines
LABEL_INCHES = 0.062  # a character more than that, in inches
IMAGE = re.compile(r"!\[[^]]*\]\(([^)]+)\)")  # in Markdown


def new_figure(width: float = 6.0, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure of this size in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")


def drawn(draw: Callable[P, Path]) -> Callable[P, Path]:
    """Wrap a function that draws a figure to its `path`: if it fails, only this figure is missing from the report."""
    parameters = signature(draw)

    @wraps(draw)
    def attempted(*args: P.args, **kwargs: P.kwargs) -> Path:
        path: Path = parameters.bind(*args, **kwargs).arguments["path"]
        if not attempt(f"no figure {path.stem}", path.with_suffix(".txt"), lambda: draw(*args, **kwargs)):
            plt.close("all")
            for part in (path, path.with_suffix(".svg")):
                part.unlink(missing_ok=True)
        return path

    return attempted


def with_holes(lines: Iterable[str], folder: Path) -> list[str]:
    """The lines in Markdown; an image of the folder that could not be drawn is replaced by the reason."""

    def image_or_words(match: re.Match[str]) -> str:
        why = failure((folder / match[1]).with_suffix(".txt"))
        return match[0] if why is None else escaped(why)

    return [IMAGE.sub(image_or_words, line) for line in lines]


def named(name: str, max_length: int = MAX_CLASS_NAME) -> str:
    """The name for a figure: on one line, of characters that XML allows, the middle left out where it is too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    line = line if len(line) <= max_length else f"{line[: max_length // 2]}...{line[3 - max_length // 2 :]}"
    return f" {line}" if line.startswith("_") else line  # an underscore would hide it in legends


def titled(text: str, width: int) -> str:
    """The title for a figure, in lines of this width."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return fill(plain, width, max_lines=MAX_TITLE_LINES, placeholder=" ...")


def row_labels(names: Iterable[str]) -> tuple[list[str], float, float]:
    """The names of scenarios beside the rows of a figure, in two lines at the most.

    With them the inches that the figure must be wider for them, and how much higher each row must be (1 where all names
    are short).
    """
    labels = [_in_two_lines(named(name, MAX_SCENARIO_NAME)) for name in names]
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    return labels, max(0, longest - LABEL_WIDTH) * LABEL_INCHES, 1.3 if any("\n" in label for label in labels) else 1


def _in_two_lines(name: str) -> str:
    width = next(width for width in range(LABEL_WIDTH, MAX_SCENARIO_NAME + 2) if len(wrap(name, width)) <= 2)
    return fill(name, width) if len(name) > LABEL_WIDTH else name


def plain_figure(
    title: str, width: float = SQUARE_INCHES, height: float = 4.0, panels: int = 1
) -> tuple[Figure, list[Axes]]:
    """An empty figure of this size in inches with its title above it and fixed margins.

    Fixed, because a study draws five of these for each scenario, and matplotlib's search for a layout took half of the
    time of a small study.
    """
    words = titled(title, int(SQUARE_TITLE_WIDTH * width / SQUARE_INCHES))
    figure = plt.figure(figsize=(width, height))
    figure.suptitle(words, fontsize="large")
    top = 0.18 + 0.17 * (words.count("\n") + 1)
    columns = figure.subplots(1, panels, squeeze=False)[0]
    figure.subplots_adjust(0.62 / width, 0.5 / height, 1 - 0.14 / width, 1 - top / height, wspace=0.22)
    return figure, list(columns)


def watermark(figure: Figure, mark: str | None) -> None:
    """Print the mark across the figure: why its numbers are less than they seem."""
    if mark:
        words = "\n".join(wrap(mark, 36))
        figure.text(0.5, 0.5, words, rotation=20, ha="center", va="center", color="red", alpha=0.35, fontsize=13)


def save(figure: Figure, path: Path, vector: bool = False, mark: str | None = None) -> Path:
    """Write a figure to `path`, close it, and return the path. vector: write an SVG of the same name next to it.

    mark: printed across the figure as a watermark.
    """
    watermark(figure, mark)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in matplotlib's font; a browser's has it
        figure.savefig(path)
        figure.set_layout_engine("none")  # found once: the search takes as long as drawing
        if vector:
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)
    return path


@drawn
def words_figure(words: str, title: str, path: Path) -> Path:
    """Draw the reason why there is no figure (PNG and SVG)."""
    figure, axes = new_figure(6.0, 2.0)
    axes.text(0.5, 0.5, "\n".join(wrap(words, 70)), ha="center", va="center")
    axes.set(title=titled(title, 70), xticks=[], yticks=[])
    axes.grid(visible=False)
    return save(figure, path, vector=True)
