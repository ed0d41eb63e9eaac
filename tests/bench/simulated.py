"""The command of a bench that simulates: its table is printed, and written into a folder."""

import argparse
from collections.abc import Callable
from pathlib import Path


def show_simulated(description: str, table: Callable[[int], str], name: str) -> None:
    """Print the Markdown table of so many simulations a row (`--times`), and write it as `name` into `--out`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--times", type=int, default=1000, help="simulations of each row")
    parser.add_argument("--out", type=Path, help=f"a folder for {name}")
    given = parser.parse_args()
    text = table(given.times)
    print(text)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / name).write_text(text + "\n", encoding="utf-8")
