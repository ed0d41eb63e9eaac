"""The command that measures: bench."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import MLRUNS, StorePath, open_store


def bench(
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Image folder; without it, phantoms.", readable=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="BACKBONE.safetensors; without it, random weights.", readable=False),
    ] = None,
    store: StorePath = MLRUNS,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this figure; may be repeated.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small samples: minutes, but for a look only.")] = False,
) -> None:
    """Measures how fast the harness is, against what a user would do instead. Exit code 1 where a figure broke down."""
    at = open_store(store)
    from harness.bench.run import run_bench
    from harness.terminal.checks import show_bench

    measured = run_bench(at, data, weights, only or [], quick, lambda text: print(text, file=sys.stderr))
    show_bench(measured)
    if measured.broken:
        raise typer.Exit(1)
