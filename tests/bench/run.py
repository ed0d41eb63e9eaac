"""All figures, one after the other; then the table, its JSON file and its Markdown file."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from harness.cli.options import DEFAULT_STORE, StoreFolder, open_store
from harness.data.phantom import phantom_folder
from harness.errors import HarnessError, Stopped
from harness.models.names import known_backbone
from harness.processes import raise_on_signals
from harness.store import Store
from harness.study.data_block import Phantom
from harness.study.messages import unknown
from harness.study.provenance import code_and_machine
from tests.bench import FIGURES
from tests.bench.alone import rows_alone
from tests.bench.figure import Bench, Row
from tests.bench.results import Measured, show_bench
from tests.gpu.machine import gpu_words

IMAGES = 2000  # phantoms that are drawn where no data is given
GPU_IMAGES = 5216  # the same for figures of a GPU: as many as the paper trains on


def run_bench(bench: Bench, figures: Sequence[str], measured: Measured, until: float | None = None) -> Iterator[Row]:
    """Measure the figures, each in a process of its own, and yield each row once it is added to `measured`.

    until: when the bench has to be done, on the monotonic clock.
    """
    for name in figures:
        if until is not None and time.monotonic() >= until:
            rows: Iterable[Row] = [Row(name, None, "the time given to the bench was over")]
        else:
            rows = rows_alone(name, FIGURES[name], bench, until)
        for row in rows:
            measured.add(row)
            yield row


def chosen(only: Sequence[str]) -> list[str]:
    """The figures of these names, or of the groups of these names: `gpu` is all that begin with `gpu-`.

    Raises HarnessError for an unknown name.
    """
    groups = {name.partition("-")[0] for name in FIGURES}
    for name in only:
        if name not in {*FIGURES, *groups}:
            raise HarnessError(f"--only: {unknown('figure', name, sorted({*FIGURES, *groups}))}")
    return [name for name in FIGURES if not only or name in only or name.partition("-")[0] in only]


@contextmanager
def bench_in(store: Store, data: Path | None, weights: Path | None, quick: bool, images: int) -> Iterator[Bench]:
    """What the figures are measured on. images: the number of phantoms that are drawn where no data is given.

    Raises HarnessError for data that are not there and weights without a backbone's name.
    """
    if data is not None and not (data / "train").is_dir():
        raise HarnessError(f"--data {data}: expected a folder with train/CLASS/*")
    backbone = "resnet18" if quick else "resnet50"
    if weights is not None:
        backbone = weights.stem
        if not weights.is_file() or weights.suffix != ".safetensors" or not known_backbone(backbone):
            raise HarnessError(f"--weights {weights}: expected a .safetensors file named after its timm backbone")
    if data is None:
        data = phantom_folder(Phantom(train=images // 4 if quick else images, test=24), store)
    with TemporaryDirectory(prefix="bench-", dir=_made(store.root / "bench")) as folder:
        yield Bench(data.absolute(), backbone, str(weights.absolute()) if weights else "none", Path(folder), quick)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _head(bench: Bench, synthetic: bool) -> dict[str, str]:
    """Hardware, software and data of the table."""
    return {
        **code_and_machine(),
        "gpu": gpu_words(),
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
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this figure, or group, such as gpu; may be repeated.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small samples: minutes, but for a look only.")] = False,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="End after N minutes; what is left is not measured.")
    ] = None,
) -> None:
    """Measures how fast the harness is, against what a user would do instead. Exit code 1 where a figure broke down."""
    until = None if minutes is None else time.monotonic() + 60 * minutes
    figures, root = chosen(only or []), open_store(store)
    images = GPU_IMAGES if all(name.startswith("gpu-") for name in figures) else IMAGES
    with bench_in(root, data, weights, quick, images) as where:
        file = root.root / "bench" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
        measured = Measured(_head(where, data is None), file)
        for row in run_bench(where, figures, measured, until):
            value = row.verdict if row.value is None else f"{row.value:.4g} {row.verdict}"
            said = f"{time.strftime('%H:%M:%S')}  {row.name}: {value} ({row.work})\n{row.error}"
            print(said.strip(), file=sys.stderr, flush=True)
    show_bench(measured)
    if measured.broken:
        raise typer.Exit(1)


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
