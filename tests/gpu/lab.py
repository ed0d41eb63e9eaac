"""Where checks work: small studies of synthetic images, each in a store of its own."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from harness.store.results import FoldResult
from harness.study import Study, load_study
from harness.study.plan import Job
from harness.training.context import Context
from harness.training.job import run_job
from tests.gpu.fits import cuda_case, silent

STUDY = """\
study: small
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 96, test: 24}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 5, batch_size: 10, learning_rate: 1.0e-3}
stages: [{name: heads, grid: {head: [dropout-gap, batchnorm-gap]}, select: {metric: val/roc_auc}}]
test: {stages: [heads], model: refit}
"""  # a fold has four whole batches and a smaller one; in five epochs there are enough steps for a graph to pay
SIMULATED = ("base.epochs=3",)  # its steps take long, and its graphs need not pay:
SIMULATED_STEPS = 10  # from which on steps are captured


class SkippedError(Exception):
    """Why a check could not be made here."""


@dataclass(frozen=True)
class Lab:
    """A folder for stores. simulated: the device is one of tests/gpu/simulated.py."""

    folder: Path
    simulated: bool

    def case(self, *overrides: str, **changes: Any) -> tuple[Context, list[Job]]:
        """The context of the small study without its test, and the jobs of its stage."""
        return cuda_case(self.study("test=null", *overrides), self._new_store(), **changes)

    @cache  # noqa: B019  one lab lives as long as the process
    def first(self, *overrides: str) -> tuple[Context, Job, FoldResult]:
        """The first job of the case, and its fit."""
        context, (job, *_) = self.case(*overrides)
        return context, job, run_job(job, context, silent)

    def study(self, *overrides: str) -> Study:
        """The small study, with `KEY=VALUE` overrides."""
        file = self.new_folder() / "small.yaml"
        file.write_text(STUDY, encoding="utf-8")
        return load_study(file, (*SIMULATED, *overrides) if self.simulated else overrides)

    def new_folder(self) -> Path:
        """A folder that is empty."""
        return Path(mkdtemp(dir=self.folder))

    def _new_store(self) -> Path:
        """The folder of a store whose images, pixels and features are those of the others."""
        folder = self.new_folder()
        for name in ("data", "cache"):
            (self.folder / name).mkdir(exist_ok=True)
            (folder / name).symlink_to(self.folder / name)
        return folder

    def some(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """All of these values on hardware; the first two on the simulated device, where `cases/` has the others."""
        return values[:2] if self.simulated else values

    def needs_hardware(self, what: str) -> None:
        """Raise SkippedError on the simulated device."""
        if self.simulated:
            raise SkippedError(f"{what}: not on a simulated device")


def must(truth: bool, words: str) -> str:
    """Return the words where they are true. Raises AssertionError."""
    if not truth:
        raise AssertionError(words)
    return words
