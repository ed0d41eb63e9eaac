"""What became of a fit so far: the metrics of its epochs, and the predictions of the one that counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.stats.metrics import Probabilities, classification_metrics
from harness.store.results import Metrics
from harness.training.checkpoint import JobProgress, Selected
from harness.training.stopping import Stopping
from harness.training.task import EVALUATED, FitJob

BySet = Mapping[str, Probabilities]  # the predictions [n, classes] of each set of images, by the names of `Task.sets`


@dataclass(frozen=True)
class Fitted:
    """The curves of a fit, and the probabilities [n, classes] of its selected epoch."""

    history: list[Metrics]
    selected_epoch: int  # from 1
    metrics: Metrics  # of the images evaluated, without a prefix
    probabilities: Probabilities
    captured: bool = False  # its steps ran as CUDA graphs
    fallbacks: tuple[str, ...] = ()  # what was done otherwise than it should have been, and why
    chosen: Mapping[str, float] = field(default_factory=dict)  # by a probe, on its inner split
    further: Mapping[str, Probabilities] = field(default_factory=dict)  # of the further test sets, by name
    earlier_seconds: float = 0.0  # of the epochs that a process before this one trained


class FitHistory:
    """The metrics of every epoch of a job so far, and the epoch that is selected."""

    def __init__(self, job: FitJob, progress: JobProgress | None = None) -> None:
        self.job, self._true = job, job.task.labels.cpu().numpy()[job.task.evaluate]
        self.progress = progress or JobProgress()

    @property
    def next_epoch(self) -> int:
        """The epoch to train next, from 1."""
        return len(self.progress.epochs) + 1

    @property
    def fitted(self) -> Fitted:
        """The result, after the last epoch."""
        assert self.progress.selected is not None
        epoch, metrics, probabilities, further = self.progress.selected
        return Fitted(self.progress.epochs, epoch, metrics, probabilities, further=further)

    def report(self) -> None:
        """Report the epochs of a checkpoint to the callback again."""
        for epoch, metrics in enumerate(self.progress.epochs, start=1):
            self.job.on_epoch(epoch, metrics)

    def averages(self, epoch: int) -> bool:
        """Whether the network after this epoch is one of several whose mean predicts."""
        settings = self.job.settings
        return settings.snapshots > 1 and epoch > settings.epochs - settings.snapshots

    def take(self, epoch: int, found: BySet) -> BySet:
        """Take in the predictions after an epoch, and return the mean with those before that count too.

        The mean over the networks of the last epochs is horizontal voting (Xie, Xu and Chuang 2013, arXiv:1306.3306).
        Raises FloatingPointError where the predictions are not finite.
        """
        for name, probabilities in found.items():
            if not np.isfinite(probabilities).all():
                of = f"of the test set {name} " if name != EVALUATED else ""
                raise FloatingPointError(f"the predictions {of}are not finite after epoch {epoch}")
        if not self.averages(epoch):
            return found
        sums = self.progress.sums
        sums |= {name: sums[name] + new if name in sums else new for name, new in found.items()}
        networks = epoch - (self.job.settings.epochs - self.job.settings.snapshots)
        return {name: total / networks for name, total in sums.items()}

    def select(self, epoch: int, found: BySet, stopping: Stopping | None = None) -> Metrics:
        """Score the predictions after an epoch, select it by `select_epoch`, and return its validation metrics.

        With `stopping`, the epoch that it holds to be the best is selected.

        On the test set it returns none: there the scores are the result.
        Raises FloatingPointError where the predictions are not finite.
        """
        further = dict(self.take(epoch, found))
        probabilities = further.pop(EVALUATED)
        scores = classification_metrics(probabilities, self._true, self.job.task.positive)
        if self._replaces(scores) if stopping is None else stopping.epoch == epoch:
            self.progress.selected = Selected(epoch, scores, probabilities, further)
        return {f"val/{name}": value for name, value in scores.items()} if self.job.task.every_epoch else {}

    def add(self, epoch: int, metrics: Metrics) -> None:
        """Append the metrics of the epoch that was trained, and report them to the callback."""
        assert epoch == self.next_epoch
        self.progress.epochs.append(metrics)
        self.job.on_epoch(epoch, metrics)

    def _replaces(self, scores: Metrics) -> bool:
        """Whether an epoch with these scores replaces the one selected so far."""
        selected = self.progress.selected
        if selected is None or self.job.settings.select_epoch == "last" or not self.job.task.every_epoch:
            return True
        return scores["accuracy"] > selected.metrics["accuracy"]
