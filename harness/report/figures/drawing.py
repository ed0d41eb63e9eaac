"""How every figure is drawn: its style, names and titles of users in it, its file, and what stands in its place."""

import re
import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from pathlib import Path
from textwrap import fill, wrap
from typing import ParamSpec

import matplotlib

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
        "text.parse_math": False,  # a dollar sign is one: classes are named by users
    }
)


P = ParamSpec("P")

TITLE = 44  # characters of a line above a square figure
TITLE_LINES = 4
NAME = 40  # characters of a class in a figure
SCENARIO = 120  # of a scenario: all its levels
IMAGE = re.compile(r"!\[[^]]*\]\(([^)]+)\)")  # in Markdown


def new_figure(width: float = 6.0, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure of this size in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")


def drawn(draw: Callable[P, Path]) -> Callable[P, Path]:
    """The same function that draws a figure to its `path`, at the cost of no more than the figure where it fails."""
    parameters = signature(draw)

    @wraps(draw)
    def spared(*args: P.args, **kwargs: P.kwargs) -> Path:
        path: Path = parameters.bind(*args, **kwargs).arguments["path"]
        if not attempt(f"no figure {path.stem}", path.with_suffix(".txt"), lambda: draw(*args, **kwargs)):
            plt.close("all")
            for part in (path, path.with_suffix(".svg")):
                part.unlink(missing_ok=True)
        return path

    return spared


def with_holes(lines: Iterable[str], folder: Path) -> list[str]:
    """The lines in Markdown; where an image of the folder could not be drawn, they say why."""

    def image_or_words(match: re.Match[str]) -> str:
        why = failure((folder / match[1]).with_suffix(".txt"))
        return match[0] if why is None else escaped(why)

    return [IMAGE.sub(image_or_words, line) for line in lines]


def named(name: str, most: int = NAME) -> str:
    """A name as a figure can show it: one line that XML can hold, the middle left out where it is very long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    line = line if len(line) <= most else f"{line[: most // 2]}...{line[3 - most // 2 :]}"
    return f" {line}" if line.startswith("_") else line  # which matplotlib leaves out of legends


def titled(text: str, width: int) -> str:
    """A title as a figure can show it, in lines of this width."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return fill(plain, width, max_lines=TITLE_LINES, placeholder=" ...")


def plain_figure(title: str, width: float = 4.2, height: float = 4.0, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure of this size in inches, its title above it, with margins that need no looking for.

    A study draws five for each scenario, and half of the time of a small one went into the search for their layout.
    """
    words = titled(title, int(TITLE * width / 4.2))
    figure = plt.figure(figsize=(width, height))
    figure.suptitle(words, fontsize="large")
    top = 0.18 + 0.17 * (words.count("\n") + 1)
    columns = figure.subplots(1, panels, squeeze=False)[0]
    figure.subplots_adjust(0.62 / width, 0.5 / height, 1 - 0.14 / width, 1 - top / height, wspace=0.22)
    return figure, list(columns)


def save(figure: Figure, path: Path, vector: bool = False, mark: str | None = None) -> Path:
    """The path of the figure, written and closed; with `vector` an SVG of the same name lies beside it.

    mark: stands across the figure as a watermark; why its numbers are less than they seem.
    """
    if mark:
        words = "\n".join(wrap(mark, 36))
        figure.text(0.5, 0.5, words, rotation=20, ha="center", va="center", color="red", alpha=0.35, fontsize=13)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a script that the font lacks; the page's has it
        figure.savefig(path)
        if vector:
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)
    return path


@drawn
def words_figure(words: str, title: str, path: Path) -> Path:
    """A PNG and an SVG that say why there is no figure."""
    figure, axes = new_figure(6.0, 2.0)
    axes.text(0.5, 0.5, "\n".join(wrap(words, 70)), ha="center", va="center")
    axes.set(title=titled(title, 70), xticks=[], yticks=[])
    axes.grid(visible=False)
    return save(figure, path, vector=True)
