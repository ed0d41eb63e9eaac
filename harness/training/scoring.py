"""How a network in training is scored: for several jobs at once where they differ in nothing else."""

from collections.abc import Callable, Iterator, Sequence

from harness.data.dataset import Rows
from harness.stats.metrics import Probabilities
from harness.store.results import Metrics
from harness.training.checkpoint import JobProgress
from harness.training.fit_history import BySet, FitHistory, Fitted
from harness.training.stopping import Stopping
from harness.training.task import FitJob
from harness.training.views import ImageView, mean_of_views, views_of

PredictViews = Callable[[Rows, Sequence[ImageView]], dict[ImageView, Probabilities]]


class Scoring:
    """The histories of the jobs that one network is trained for. Each view of an image is predicted once for all.

    predict: by the network as it is at the time.
    """

    def __init__(self, jobs: Sequence[FitJob], progress: Sequence[JobProgress], predict: PredictViews) -> None:
        self._histories = [FitHistory(*each) for each in zip(jobs, progress, strict=True)]
        self._task, self._epochs, self._predict = jobs[0].task, jobs[0].settings.epochs, predict

    @property
    def next_epoch(self) -> int:
        """The epoch to train next, from 1."""
        return self._histories[0].next_epoch

    @property
    def progress(self) -> dict[str, JobProgress]:
        """How far each job is, by how it is scored."""
        return {history.job.scoring: history.progress for history in self._histories}

    @property
    def fitted(self) -> list[Fitted]:
        """The results, after the last epoch."""
        return [history.fitted for history in self._histories]

    def report(self) -> None:
        """Report the epochs of a checkpoint to the callbacks again."""
        for history in self._histories:
            history.report()

    def see(self, epoch: int, stopping: Stopping | None) -> list[Metrics]:
        """Score the network after an epoch, and return the validation metrics for each job.

        On the test set it returns none: networks before the last are asked only where they are part of a mean.
        """
        if self._task.every_epoch:
            return [history.select(epoch, found, stopping) for history, found in self._found(self._histories)]
        if epoch < self._epochs:
            for history, found in self._found([each for each in self._histories if each.averages(epoch)]):
                history.take(epoch, found)
        return [{} for _ in self._histories]

    def see_last(self, epoch: int) -> None:
        """Score the network that stays, of this epoch, on the test set; after `see` of the epochs before."""
        if not self._task.every_epoch:
            for history, found in self._found(self._histories):
                history.select(epoch, found)

    def add(self, epoch: int, training: Metrics, scores: Sequence[Metrics]) -> None:
        """End an epoch with its training metrics, and the validation metrics for each job."""
        for history, of_job in zip(self._histories, scores, strict=True):
            history.add(epoch, training | of_job)

    def _found(self, histories: Sequence[FitHistory]) -> Iterator[tuple[FitHistory, BySet]]:
        """The predictions of the network for each of these jobs, of all sets of images."""
        wanted = [(history, history.job.settings.tta) for history in histories]
        views = list(dict.fromkeys(view for _, tta in wanted for view in views_of(tta)))
        by_view = {name: self._predict(rows, views) for name, rows in self._task.sets.items()} if views else {}
        for history, tta in wanted:
            yield history, {name: mean_of_views(found, tta) for name, found in by_view.items()}
