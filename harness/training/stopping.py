"""When a fit stops: after epochs without a better score on images that are held out of its training."""

from collections.abc import Callable

from torch import Tensor, nn

from harness.data.dataset import Rows
from harness.stats.metrics import Probabilities, classification_metrics
from harness.store.results import Metrics
from harness.study.types import higher_is_better
from harness.training.task import FitJob


class Stopping:
    """The epoch of a fit with the best score so far on the images held out, and the model as it was then.

    epoch: from 1; 0 before the first. score: of that epoch. model: its state.
    """

    def __init__(self, job: FitJob) -> None:
        settings, task = job.settings, job.task
        self._patience, self._metric = settings.stop_patience, settings.stop_metric
        self._rows, self._positive = task.inner, task.positive
        self._true = task.labels[task.inner].cpu().numpy()
        self.epoch, self.score, self.model = 0, 0.0, dict[str, Tensor]()

    def see(self, epoch: int, model: nn.Module, predict: Callable[[Rows], Probabilities]) -> Metrics:
        """Score the images held out after an epoch, and return the score as a metric of the epoch."""
        score = classification_metrics(predict(self._rows), self._true, self._positive)[self._metric]
        sign = 1 if higher_is_better(self._metric) else -1
        if self.epoch == 0 or sign * score > sign * self.score:
            self.epoch, self.score = epoch, score
            self.model = {name: value.detach().clone() for name, value in model.state_dict().items()}
        return {f"inner/{self._metric}": score}

    def ends(self, epoch: int) -> bool:
        """Whether no epoch follows this one."""
        return epoch - self.epoch >= self._patience

    def restore(self, model: nn.Module) -> None:
        """Give the model its weights of the best epoch."""
        model.load_state_dict(self.model)
