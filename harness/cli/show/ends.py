"""The last lines of a command that made results: the report, the leaderboard in MLflow, and what to do next."""

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

from harness.cli.options import DEFAULT_STORE
from harness.cli.show.console import relative
from harness.store import Store


def show_ends(console: Console, store: Store, report: Path, leaderboard: str, study: str) -> None:
    """Print the three lines. leaderboard: the URL. study: the name."""
    _line(console, "report", relative(report), report.as_uri())
    short = leaderboard.partition("/runs?")[0] if console.is_terminal and console.color_system else leaderboard
    _line(console, "leaderboard", short, leaderboard)
    where = "" if store.root == DEFAULT_STORE.absolute() else f" --store {relative(store.root)}"
    serve = f"{program()} ui{where}, which serves the leaderboard"
    _line(console, "next", f"{program()} verify {study}{where}" if store.server else serve)


def _line(console: Console, what: str, words: str, link: str | None = None) -> None:
    """Print a line, which no newline breaks: a terminal that folds it still copies it whole."""
    text = Text(f"{f'{what}:':<13}") + Text(words, Style(link=link))
    console.print(text, soft_wrap=True)


def program() -> str:
    """The command by which this program was started, as it would be typed again."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return "python -m harness.cli"
    found = shutil.which(started.name)
    return started.name if found and Path(found).samefile(started) else relative(started.absolute())
