"""Try a custom head on random features before anything is trained."""

import torch
from torch import Tensor

from harness.errors import HarnessError, described
from harness.models.custom import head_class
from harness.models.heads import Shape, make_head, moments_of, part_read
from harness.study.own_file import file_name
from harness.study.settings import Settings

TRIAL_IMAGES = 4


def try_head(settings: Settings, source: str, shape: Shape, classes: int, device: str) -> None:
    """Build the head for features of this shape and run it once in training and in evaluation mode.

    Raises HarnessError, with what is expected of a head, where that fails or does not return logits.
    """
    head_class(settings.head, source)  # its own error is clear enough
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            _train_and_evaluate(settings, source, shape, classes, device)
    except Exception as error:  # a user's code raises anything
        name = settings.head.rpartition(":")[2]
        raise HarnessError(
            f"{file_name(settings.head)} cannot be used: {described(error)}; expected: a torch.nn.Module made by"
            f" {name}(shape, classes, settings) that turns features [n, {', '.join(map(str, shape))}] into logits"
            f" [n, {classes}]"
        ) from None


def _train_and_evaluate(settings: Settings, source: str, shape: Shape, classes: int, device: str) -> None:
    head = make_head(settings, shape, classes, source).to(device)
    maps = torch.rand(TRIAL_IMAGES, *shape, device=device)
    moments = torch.stack(moments_of(maps), dim=1)
    for train in (True, False):
        logits = head.train(train)(part_read(head, maps, moments))
        _check(logits, classes)
        if train and settings.trainable == "head":  # otherwise the head may have no parameters
            logits.sum().backward()


def _check(logits: object, classes: int) -> None:
    """Raise HarnessError where these are not finite logits [TRIAL_IMAGES, classes]."""
    if not isinstance(logits, Tensor):
        raise HarnessError(f"it returns a {type(logits).__name__} and not a tensor")
    if logits.shape != (TRIAL_IMAGES, classes) or not logits.is_floating_point():
        kind = str(logits.dtype).removeprefix("torch.")
        raise HarnessError(f"for {TRIAL_IMAGES} images it returns {kind} of shape {list(logits.shape)}")
    if not logits.isfinite().all():
        raise HarnessError("it returns values that are not finite")
