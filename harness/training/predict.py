"""The probabilities that a model gives to images."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from harness.data.dataset import Rows
from harness.stats.metrics import Probabilities
from harness.training.loaders import Loader, parts_of
from harness.training.task import Task
from harness.training.views import ImageView, mean_of_views, views_of

Score = Callable[[Tensor], Tensor]  # images -> logits


def predict(
    model: nn.Module, loader: Loader, rows: Rows, batch_size: int, score: Score | None = None, tta: str = "none"
) -> Probabilities:
    """Return the probabilities [n, classes] of these rows, the model in evaluation mode.

    score: where not the model itself. tta: the test-time augmentation over whose views is averaged.
    """
    return mean_of_views(predict_views(model, loader, rows, views_of(tta), batch_size, score), tta)


def predict_views(
    model: nn.Module,
    loader: Loader,
    rows: Rows,
    views: Sequence[ImageView],
    batch_size: int,
    score: Score | None = None,
) -> dict[ImageView, Probabilities]:
    """Return the probabilities [n, classes] of these rows by each view of the images, the model in evaluation mode."""
    model.eval()
    found: Mapping[ImageView, list[Tensor]] = {view: [] for view in views}
    with torch.inference_mode():
        for images in loader(parts_of(rows, batch_size)):
            for view in views:
                found[view].append((score or model)(view(images)).float())
    return {view: torch.cat(logits).cpu().double().softmax(dim=1).numpy() for view, logits in found.items()}


def predict_sets(model: nn.Module, loader: Loader, task: Task, batch_size: int) -> dict[str, Probabilities]:
    """Return the probabilities [n, classes] of each set of images that a task is scored on, by its name."""
    return {name: predict(model, loader, rows, batch_size) for name, rows in task.sets.items()}
