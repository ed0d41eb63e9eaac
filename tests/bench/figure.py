"""What a figure is measured on, and what it gives back: ratios of ways to do the same work, timed in turns."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import yaml

from harness.errors import JobError
from harness.execution.compute import Compute
from harness.execution.progress import Reporter
from harness.runner import Run, run_study
from harness.store import Store
from harness.store.results import FoldRecord
from harness.study import Study, load_study
from harness.study.plan import Job

Seconds = list[float]  # of one way, a value for each round
Way = Callable[[], object]


@dataclass(frozen=True)
class Bench:
    """What the figures are measured on.

    data: an image folder. backbone, weights: of the frozen figures. folder: for what is written; removed at the end.
    """

    data: Path
    backbone: str
    weights: str
    folder: Path
    quick: bool

    def study(self, name: str, images: int, stages: list[dict[str, Any]], repeats: int = 1, **base: object) -> Study:
        """A study of at most `images` training images in 3 folds, with these stages over this base."""
        content = {
            "study": name,
            "data": {"source": "folder", "path": str(self.data), "image_size": 150, "limit": images},
            "folds": {"k": 3, "repeats": repeats},
            "base": {"backbone": self.backbone, "weights": self.weights, "trainable": "head", **base},
            "stages": stages,
            "audit": {"accept": ["duplicate-across-splits", "near-duplicate-across-splits", "label-conflict"]},
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load_study(file)

    def store(self, name: str, cache_of: str | None = None) -> Store:
        """A new store; with the caches (pixels, features, folds, audit) of another one, where that is named."""
        store = Store(self.folder / name)
        store.root.mkdir()
        if cache_of is not None:
            store.cache.symlink_to(Store(self.folder / cache_of).cache)
        return store


@dataclass(frozen=True)
class Goal:
    """What is to be reached."""

    sign: Literal[">=", "<=", "=="]
    number: float

    def __str__(self) -> str:
        return f"{self.sign} {self.number:g}"

    def verdict(self, value: float) -> str:
        """`met`, or `missed by` the factor between the two."""
        met = {">=": value >= self.number, "<=": value <= self.number, "==": value == self.number}[self.sign]
        if met:
            return "met"
        low, high = sorted((abs(value), abs(self.number)))
        return f"missed by x{high / low:.2f}" if low else "missed"


@dataclass(frozen=True)
class Row:
    """One line of the table. `value` is None where it was not measured; `work` then says why.

    low, high: over the rounds. parts: what the value was made from, in the JSON file only.
    error: the traceback, where measuring it broke down.
    """

    name: str
    value: float | None
    work: str
    goal: Goal | None = None
    rounds: int = 1
    low: float | None = None
    high: float | None = None
    parts: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal was reached."""
        if self.value is None:
            return "broke down" if self.error else "not measured"
        return self.goal.verdict(self.value) if self.goal else ""


class Clock(Reporter):
    """Says nothing, and notes when each fit was finished, its result stored and published."""

    def __init__(self) -> None:
        super().__init__()
        self.console.quiet = True
        self.began = 0.0
        self.ended: list[float] = []

    def begin(self, name: str, jobs: list[Job]) -> None:
        """Notes when the first fit begins."""
        self.began = self.began or time.perf_counter()
        super().begin(name, jobs)

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        """Notes the time."""
        self.ended.append(time.perf_counter())
        super().job_ended(job, outcome)


def quiet_run(study: Study, store: Store, executor: str = "auto", clock: Clock | None = None) -> Run:
    """A whole run of a study on the CPU, that says nothing. Raises RuntimeError where a fit failed."""
    with clock or Clock() as reporter:
        run = run_study(study, store, "cpu", reporter, compute=Compute(executor=executor))
    if run.failed:
        raise RuntimeError(f"{run.failed} fits failed")
    return run


def in_turns(ways: Mapping[str, Way], rounds: int) -> dict[str, Seconds]:
    """The wall time of each way in each round: one after the other, so that what slows the machine slows them all."""
    times: dict[str, Seconds] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(way))
    return times


def seconds(way: Way) -> float:
    """The wall time of one call."""
    gc.collect()
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def ratio(name: str, over: Seconds, under: Seconds, goal: Goal | None, work: str, **parts: object) -> Row:
    """The median of `over` divided by that of `under`; its range is over the rounds, each divided by its own."""
    each = [a / b for a, b in zip(over, under, strict=True)]
    return Row(
        name, median(over) / median(under), work, goal, len(each), min(each), max(each),
        {"over_s": over, "under_s": under, **parts},
    )  # fmt: skip
