"""A whole study on a frozen backbone, from its image folder to its report, against loops that share nothing."""

import json
from dataclasses import dataclass
from statistics import median

import torch

from harness.data.inputs import Inputs
from harness.data.pixels import pixel_cache
from harness.models.backbone import feature_shape, load_backbone
from harness.models.heads import make_head
from harness.prepare import prepare
from harness.runner import Run
from harness.store import Ledger, Store
from harness.store.results import FoldRecord
from harness.study import Study
from harness.training.device import worker_count
from tests.bench.figure import Bench, Goal, Row, Seconds, quiet_run, seconds
from tests.bench.naive import cached_batches, folder_batches, seconds_per_image

HEADS = ["dropout-gap", "dropout-flatten", "batchnorm-gap", "batchnorm-flatten"]
GRID = [{"name": "grid", "grid": {"head": HEADS, "oversampling": ["none", "random"]}}]  # 8 scenarios x 3 folds


@dataclass(frozen=True)
class _Timed:
    """A run of the study: its wall time, and what the records of its fits say."""

    inputs: Inputs
    run: Run
    wall: float
    records: list[FoldRecord]
    extraction: float  # seconds

    @property
    def visits(self) -> int:
        """How many images the fits trained on or scored, over all epochs."""
        scored = len(self.inputs.dataset.rows("train")) // 3
        return sum(len(r.history) * (sum(r.class_counts["after"].values()) + scored) for r in self.records)


def measure(bench: Bench) -> list[Row]:
    """Naive and tuned loops over ours, the passes of the backbone, and a warm re-run over the cold run."""
    images, epochs, steps = (400, 5, 2) if bench.quick else (2000, 15, 4)
    naive = _NaiveLoops(bench, images, steps)
    timed: dict[str, _Timed] = {}
    for precision in ("fp32", "bf16"):
        naive.measure()
        study = bench.study(f"grid-{precision}", images, GRID, epochs=epochs, precision=precision)
        timed[precision] = _timed(study, bench.store(f"grid-{precision}"))
    naive.measure()
    warm = _timed(study, bench.store("grid-warm", cache_of="grid-bf16"))
    return _rows(timed["fp32"], timed["bf16"], warm, naive, f"{bench.backbone}, {images} images at 150 px, 24 fits x"
                 f" {epochs} epochs, batch 64")  # fmt: skip


class _NaiveLoops:
    """The seconds that one image costs in loops that read it anew in every epoch, measured between our runs."""

    def __init__(self, bench: Bench, images: int, steps: int) -> None:
        self._bench, self._steps = bench, steps
        store = bench.store("naive")
        study = bench.study("naive", images, [{"name": "one"}])
        dataset = prepare(study, store).inputs.dataset
        self._pixels = pixel_cache(dataset, 150, store)
        self._labels = torch.from_numpy(dataset.labels[dataset.rows("train")])
        self._settings = study.base.model_copy(update={"image_size": 150})
        self.plain: Seconds = []
        self.tuned: Seconds = []

    def measure(self) -> None:
        """Another sample of both loops."""
        backbone = load_backbone(self._settings, 0)
        head = make_head(self._settings, feature_shape(backbone, 150), 2)
        folder = folder_batches(self._bench.data / "train", backbone, 150)
        self.plain.append(seconds_per_image(backbone, head, folder, "fp32", self._steps))
        tuned = backbone.to(memory_format=torch.channels_last)
        cached = cached_batches(self._pixels, self._labels, backbone)
        self.tuned.append(seconds_per_image(tuned, head, cached, "bf16", self._steps))


def _timed(study: Study, store: Store) -> _Timed:
    runs: list[Run] = []
    wall = seconds(lambda: runs.append(quiet_run(study, store)))
    records = [Ledger(store).record(path.name) for path in sorted(store.jobs.iterdir())]
    about = [json.loads(path.read_text(encoding="utf-8")) for path in (store.cache / "features").glob("*/about.json")]
    return _Timed(prepare(study, store).inputs, runs[0], wall, records, sum(part["seconds"] for part in about))


def _rows(fp32: _Timed, bf16: _Timed, warm: _Timed, naive: _NaiveLoops, work: str) -> list[Row]:
    extrapolated = (
        f"{work}. Ours: run_study from the image folder to the report, MLflow and audit included, {{}}. Against it the"
        f" bare training of a loop, EXTRAPOLATED: seconds per image over a sample of {naive._steps} steps, taken"
        f" {len(naive.plain)} times, times the {fp32.visits:,} images that the fits train on or score"
    )

    def against(name: str, loop: Seconds, ours: _Timed, goal: float, how: str) -> Row:
        whole = [per_image * ours.visits for per_image in loop]
        each = [seconds / ours.wall for seconds in whole]
        return Row(
            name, median(each), f"{extrapolated.format(how)}.", Goal(">=", goal), len(each), min(each), max(each),
            {"naive_s": whole, "ours_s": ours.wall, "extraction_s": ours.extraction},
        )  # fmt: skip

    unique = len(bf16.inputs.dataset.rows("train"))
    cold_passes, warm_passes = (sum(timed.run.passes.values()) / unique for timed in (bf16, warm))
    at_a_time = worker_count("cpu", 1, 1)
    heads = sum(r.facts.seconds for r in bf16.records) / at_a_time / bf16.wall
    return [
        against("naive loop / ours, bf16", naive.plain, bf16, 200, "bf16; the loop fp32, ImageFolder, NCHW"),
        against("naive loop / ours, fp32", naive.plain, fp32, 100, "fp32; the loop fp32, ImageFolder, NCHW"),
        against("tuned loop / ours, bf16", naive.tuned, bf16, 50, "bf16; the loop bf16, cached pixels, channels last"),
        Row("backbone passes per unique image, cold", cold_passes, f"{work}; counted at the backbone.", Goal("==", 1)),
        Row("backbone passes per unique image, warm", warm_passes, "The same study in a store that has the features.",
            Goal("==", 0)),
        Row("warm re-run / cold run", warm.wall / bf16.wall,
            f"{work}, bf16; the goal is the share of fitting the heads, {at_a_time} at a time, in the cold run"
            f" ({heads:.2f}) + 0.05.",
            Goal("<=", round(heads + 0.05, 3)), parts={"warm_s": warm.wall, "cold_s": bf16.wall}),
    ]  # fmt: skip
