"""Runs the jobs of a study: each outcome goes to the ledger first, then to MLflow, then to the terminal."""

from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Protocol

from harness.data.pixels import pixel_cache
from harness.execution.compute import AUTO, Compute
from harness.execution.executor import Executor
from harness.execution.progress import Reporter
from harness.prepare import Inputs
from harness.store import Ledger, Store
from harness.store.results import FoldResult, Metrics, Outcome
from harness.study import Study
from harness.study.plan import Job, batches
from harness.training.context import Context


class Watcher(Protocol):
    """Follows jobs: the publisher of a study, or what stands for it in a worker of a search."""

    def job_started(self, job: Job) -> None: ...

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None: ...

    def job_ended(self, job: Job, outcome: Outcome) -> None: ...


class Fitter:
    """Runs jobs: each outcome goes first to the ledger, then to MLflow, then to whoever is watching."""

    def __init__(
        self, ledger: Ledger, context: Context, executor: Executor, publisher: Watcher, reporter: Reporter,
        only: Collection[str] | None = None,
    ) -> None:  # fmt: skip
        self.ledger, self.reporter = ledger, reporter
        self._publisher = publisher
        self._context, self._executor, self._only = context, executor, only
        self.failed = 0
        self.passes: Counter[str] = Counter()

    def run(self, name: str, jobs: list[Job]) -> None:
        """Fits these jobs, whatever becomes of single ones."""
        jobs = [job for job in jobs if self._only is None or job.id in self._only]
        if not jobs:
            return
        self.reporter.begin(name, jobs)
        for job, outcome in self._executor.run(batches(jobs), self._context, self._started, self._epoch):
            if isinstance(outcome, FoldResult):
                self.ledger.save(outcome)
                if (passes := outcome.record.facts.backbone_passes) is not None:
                    self.passes[job.scenario.settings.backbone] += passes
            else:
                self.ledger.fail(outcome)
                self.failed += 1
            self._publisher.job_ended(job, outcome)
            self.reporter.finished(job, outcome)

    def _started(self, job: Job) -> None:
        self.ledger.begin(job.id)
        self._publisher.job_started(job)
        self.reporter.started(job)

    def _epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        self._publisher.epoch(job_id, epoch, metrics)
        self.reporter.epoch(job_id, epoch, metrics)


def make_context(
    study: Study, inputs: Inputs, store: Store, device: str, reporter: Reporter, compute: Compute = AUTO
) -> Context:
    """What the workers need. Every image is decoded here, so that a broken one is named before any training."""
    sizes = {settings.image_size or study.data.image_size for _, settings in study.settings()}
    with study.blamed("data", "source" if study.data.path is None else "path"):
        pixels = {}
        for size in sorted(sizes):
            counting = partial(reporter.counting, f"images decoded at {size} px")
            pixels[size] = pixel_cache(inputs.dataset, size, store, counting)
    folds = {(fold.repeat, fold.fold): fold for fold in inputs.folds}
    return Context(
        inputs.dataset, folds, inputs.digests, study.seed, pixels, store.cache / "features", device,
        compute.threads, compute.compile, store.checkpoints, study.checkpoint_every, inputs.heads,
        stack=compute.stack == "on" or (compute.stack == "auto" and device.startswith("cuda")),
    )  # fmt: skip
