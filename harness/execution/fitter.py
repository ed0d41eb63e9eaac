"""Fits jobs: each result goes to the ledger first, then to everyone who follows the run."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from harness.data.decode import Counting
from harness.data.folds import Fold
from harness.data.inputs import Workspace
from harness.data.pixels import pixel_cache
from harness.errors import JobError
from harness.execution.compute import AUTO, Compute
from harness.execution.executor import Executor, JobEvents
from harness.store import Ledger
from harness.store.results import FoldRecord, Metrics, Outcome
from harness.study.plan import Job, batches, pools_of
from harness.training.context import Context


class Fitter:
    """Fits jobs by an executor, stores their results and reports them to the observers, in this order."""

    def __init__(self, ledger: Ledger, context: Context, executor: Executor, observers: Sequence[JobEvents]) -> None:
        self._ledger, self._context, self._executor, self._observers = ledger, context, executor, observers
        self.fitted = self.failed = 0
        self.passes: Counter[str] = Counter()  # frozen backbone -> images that went through it

    def on(self, folds: Sequence[Fold], observers: Sequence[JobEvents]) -> "Fitter":
        """A fitter of jobs of other folds of the same images, which reports to these observers."""
        context = replace(self._context, folds={(fold.repeat, fold.fold): fold for fold in folds})
        return Fitter(self._ledger, context, self._executor, observers)

    def add(self, other: "Fitter") -> None:
        """Count what another fitter, made by `on`, has done."""
        if other is self:
            return
        self.fitted, self.failed = self.fitted + other.fitted, self.failed + other.failed
        self.passes.update(other.passes)

    def run(self, jobs: Collection[Job]) -> None:
        """Fit these jobs; a job that fails does not stop the others."""
        context = replace(self._context, pools=pools_of(jobs))
        for job, outcome in self._executor.run(batches(jobs), context, self._started, self._epoch):
            ended = self._store(job, outcome)
            for observer in self._observers:
                observer.job_ended(job, ended)

    def _store(self, job: Job, outcome: Outcome) -> FoldRecord | JobError:
        """Store what became of a job, and return its record, or why it failed."""
        if isinstance(outcome, JobError):
            self._ledger.fail(outcome)
            self.failed += 1
            return outcome
        if (passes := outcome.record.facts.backbone_passes) is not None:
            self.passes[job.scenario.settings.backbone] += passes
        self.fitted += 1
        return self._ledger.save(outcome)

    def _started(self, job: Job) -> None:
        self._ledger.begin(job.id)
        for observer in self._observers:
            observer.job_started(job)

    def _epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        for observer in self._observers:
            observer.epoch(job_id, epoch, metrics)


def make_context(workspace: Workspace, device: str, counting: Counting, compute: Compute = AUTO) -> Context:
    """Decode every image, so that a broken one is named before any training, and gather what the workers need."""
    study, inputs, store = workspace.study, workspace.inputs, workspace.store
    with study.blamed("data", "source" if study.data.path is None else "path"):
        pixels = {
            framing: pixel_cache(
                inputs.dataset.framed(framing.preprocessing),
                framing.size,
                store,
                partial(counting, f"images decoded at {framing}"),
            )
            for framing in sorted(study.framings)
        }
    folds = {(fold.repeat, fold.fold): fold for fold in inputs.folds}
    return Context(
        inputs.dataset, folds, inputs.digests, study.seed, pixels, store.cache / "features", device,
        compute.threads, compute.compile, store.checkpoints, study.checkpoint_every, inputs.heads,
        stack=compute.stack == "on" or (compute.stack == "auto" and device.startswith("cuda")), capture=compute.capture,
        fuse=compute.fuse,
    )  # fmt: skip
