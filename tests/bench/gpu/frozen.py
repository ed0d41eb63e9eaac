"""The whole frozen grid of the paper beside one fine-tuned fold, on the same images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from harness.execution.compute import Compute
from harness.runner import run_study
from harness.store import Ledger, Store
from harness.store.results import FoldRecord
from harness.study import Study
from harness.study.types import Switch
from tests.bench.figure import Bench, Clock, Goal, Row, seconds
from tests.bench.gpu.loop import no_cuda
from tests.bench.grid import GRID

IMAGES, EPOCHS, BACKBONE = 5216, 15, "resnet50"
ON_DEVICE = "frozen grid / one fine-tuned fold: extraction and fits"
WHOLE = "frozen grid / one fine-tuned fold: from folder to report"
STACKED = "frozen grid: heads one after the other / in one loop"
GOALS: dict[str, Goal | None] = {ON_DEVICE: Goal("<=", 1), WHOLE: Goal("<=", 1), STACKED: None}


@dataclass(frozen=True)
class Finished:
    """A run: its wall time, and what its fits took."""

    wall: float
    records: list[FoldRecord]

    @property
    def fits(self) -> float:
        """Seconds of the fits, and of the extraction of the features that they share."""
        extraction = {record.facts.extraction_seconds or 0.0 for record in self.records}
        return sum(record.facts.seconds for record in self.records) + sum(extraction)


def measure(bench: Bench) -> Iterator[Row] | list[Row]:
    """The grid over the fold, what the device does and the whole run; and the heads of the grid in two ways."""
    if not torch.cuda.is_available():
        return no_cuda("gpu-frozen")
    return rows_of(bench, "cuda", BACKBONE, 2 if bench.quick else EPOCHS)


def rows_of(bench: Bench, device: str, backbone: str, epochs: int) -> Iterator[Row]:
    """Both runs begin with an empty store."""
    base: dict[str, Any] = {"epochs": epochs, "backbone": backbone, "weights": "none"}
    fold = bench.study("gpu-fold", IMAGES, [{"name": "one"}], **base, trainable="all")
    grid = bench.study("gpu-grid", IMAGES, GRID, **base)
    tuned = _run(fold, bench.store("gpu-fold"), device, "on", folds=1)
    frozen = _run(grid, bench.store("gpu-grid"), device, "on")
    images = sum(frozen.records[0].class_counts["before"].values())
    work = (
        f"{tuned.records[0].facts.device}, {backbone}, {epochs} epochs, {images:,} training images in each fold, cold;"
        f" the grid: {len(frozen.records)} fits, {frozen.fits:.1f} s of extraction and fits, {frozen.wall:.1f} s from"
        f" folder to report; the fold: {tuned.fits:.1f} and {tuned.wall:.1f} s"
    )
    parts = {"grid_s": [frozen.fits, frozen.wall], "fold_s": [tuned.fits, tuned.wall]}
    yield Row(ON_DEVICE, frozen.fits / tuned.fits, f"{work}.", GOALS[ON_DEVICE], parts=parts)
    yield Row(WHOLE, frozen.wall / tuned.wall, f"{work}.", GOALS[WHOLE], parts=parts)
    found = _run(grid, bench.store("gpu-grid-alone", cache_of="gpu-grid"), device, "off")
    ways = {way: sum(r.facts.seconds for r in run.records) for way, run in (("off", found), ("on", frozen))}
    each = f"{ways['off']:.1f} s and {ways['on']:.1f} s, from cached features to predictions"
    yield Row(STACKED, ways["off"] / ways["on"], f"{work}; the fits of the grid: {each}.", parts=ways)


def _run(study: Study, store: Store, device: str, stack: Switch, folds: int | None = None) -> Finished:
    """Run a study, or so many of its first fits. Raises RuntimeError, with the reasons, where a fit failed."""
    clock, only = Clock(), None
    if folds is not None:
        from harness.prepare import prepare

        only = [job.id for job in prepare(study, store).reader.stage(study.stages[0], None).missing[:folds]]
    failed = 0

    def run() -> None:
        nonlocal failed
        with clock:
            failed = run_study(study, store, device, clock, compute=Compute("inline", stack=stack), only=only).failed

    wall, ledger = seconds(run), Ledger(store)
    if failed:
        notes = [ledger.note(path.stem) or {} for path in sorted(store.states.glob("*.json"))]
        reasons = {note.get("reason", "no reason given") for note in notes}
        raise RuntimeError(f"{failed} fits failed: {'; '.join(sorted(reasons))[:1000]}")
    return Finished(wall, [ledger.record(path.name) for path in sorted(store.jobs.iterdir())])
