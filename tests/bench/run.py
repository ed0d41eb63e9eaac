"""All figures, one after the other; then the table and its JSON file."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from harness.cli.options import DEFAULT_STORE, StoreFolder, open_store
from harness.cli.show.console import new_console, relative, rows_table
from harness.data.phantom import phantom_folder
from harness.errors import HarnessError, Stopped
from harness.models.names import known_backbone
from harness.processes import raise_on_signals
from harness.store import Store
from harness.store.files import write_atomic
from harness.study.messages import unknown
from harness.study.provenance import code_and_machine
from harness.study.study import Phantom
from tests.bench import FIGURES
from tests.bench.figure import Bench, Row

IMAGES = 2000  # phantoms that are drawn where no data is given


@dataclass(frozen=True)
class Measured:
    """A finished bench: what it ran on, its rows, the figures that broke down, and its file."""

    head: dict[str, str]
    rows: list[Row]
    broken: list[str]
    file: Path


def run_bench(
    store: Store, data: Path | None, weights: Path | None, only: Sequence[str], quick: bool, say: Callable[[str], None]
) -> Measured:
    """Every figure, or those in `only`, measured; a figure that breaks down is a row that says so.

    Raises HarnessError for an unknown figure, data that are not there and weights without a backbone's name.
    """
    for name in only:
        if name not in FIGURES:
            raise HarnessError(f"--only: {unknown('figure', name, FIGURES)}")
    if data is not None and not (data / "train").is_dir():
        raise HarnessError(f"--data {data}: expected a folder with train/CLASS/*")
    backbone = "resnet18" if quick else "resnet50"
    if weights is not None:
        backbone = weights.stem
        if not weights.is_file() or weights.suffix != ".safetensors" or not known_backbone(backbone):
            raise HarnessError(f"--weights {weights}: expected a .safetensors file named after its timm backbone")
    images = phantom_folder(Phantom(train=IMAGES // 4 if quick else IMAGES, test=24), store) if data is None else data
    rows: list[Row] = []
    broken: list[str] = []
    with TemporaryDirectory(prefix="bench-", dir=_made(store.root / "bench")) as folder:
        bench = Bench(images.absolute(), backbone, str(weights.absolute()) if weights else "none", Path(folder), quick)
        for name in only or FIGURES:
            say(f"bench: {name}")
            try:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                    rows += alone.submit(_measure, FIGURES[name], bench).result()
            except Exception as error:  # the other figures are worth having
                broken.append(name)
                say(traceback.format_exc())
                rows.append(Row(name, None, f"{type(error).__name__}: {error}"))
    head = _head(bench, data is None)
    file = store.root / "bench" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    content = {"head": head, "rows": [{**asdict(row), "verdict": row.verdict} for row in rows]}
    write_atomic(file, json.dumps(content, indent=1).encode())
    return Measured(head, rows, broken, file)


def _measure(module: str, bench: Bench) -> list[Row]:
    """The rows of a figure, in a process of its own: libraries and the allocator's settings would change the next."""
    rows: list[Row] = import_module(module).measure(bench)
    return rows


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _head(bench: Bench, synthetic: bool) -> dict[str, str]:
    """Hardware, software and data of the table."""
    return {
        **code_and_machine(),
        "threads": f"{torch.get_num_threads()} of torch, {len(os.sched_getaffinity(0))} cores usable",
        "load": f"{os.getloadavg()[0]:.1f} in the last minute",
        "images": "SYNTHETIC (phantom)" if synthetic else bench.data.name,
        "backbone": f"{bench.backbone}, {'random weights' if bench.weights == 'none' else Path(bench.weights).name}",
        "scale": "quick: small samples, for a look only" if bench.quick else "full",
        "time": time.strftime("%Y-%m-%d %H:%M"),
    }


def bench(
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Image folder; without it, phantoms.", readable=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="BACKBONE.safetensors; without it, random weights.", readable=False),
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this figure; may be repeated.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small samples: minutes, but for a look only.")] = False,
) -> None:
    """Measures how fast the harness is, against what a user would do instead. Exit code 1 where a figure broke down."""
    measured = run_bench(open_store(store), data, weights, only or [], quick, lambda text: print(text, file=sys.stderr))
    show_bench(measured)
    if measured.broken:
        raise typer.Exit(1)


def show_bench(measured: Measured) -> None:
    """Prints what a bench ran on, its figures with their goals, and the exact work of each."""
    console = new_console()
    for name, value in measured.head.items():
        console.print(f"{name:<10} {value}")
    rows = [
        [
            row.name,
            "-" if row.value is None else f"{row.value:.3g}",
            "" if row.low is None else f"{row.low:.3g} to {row.high:.3g}",
            row.rounds,
            row.goal or "",
            row.verdict,
        ]
        for row in measured.rows
    ]
    console.print()
    console.print(rows_table("bench", ["figure", "measured", "range", "n", "goal", ""], rows))
    for row in measured.rows:
        console.print(f"{row.name}: {row.work}")
    console.print(f"\nas JSON: {relative(measured.file)}")


def main() -> None:
    """Run the bench; an error of the request is one line on standard error, and its exit code."""
    raise_on_signals()
    try:
        typer.run(bench)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stop:
        sys.exit(stop.exit_code)


if __name__ == "__main__":
    main()
