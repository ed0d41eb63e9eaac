"""A head of the user's own, tried on a few made-up features before anything is trained."""

import torch
from torch import Tensor

from harness.errors import HarnessError, first_line
from harness.models.custom import file_name, head_class
from harness.models.heads import Shape, make_head, moments_of, part_read
from harness.study.settings import Settings

IMAGES = 4


def try_head(settings: Settings, source: str, shape: Shape, classes: int, device: str) -> None:
    """Builds the head for features of this shape, and trains and asks it once.

    Raises HarnessError, saying what a head has to be, where that fails or gives no logits.
    """
    head_class(settings.head, source)  # whose words are enough
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            _train_and_ask(settings, source, shape, classes, device)
    except Exception as error:  # a user's code raises anything
        first = first_line(error)
        told = first if isinstance(error, HarnessError) else f"{type(error).__name__}: {first}"
        name = settings.head.rpartition(":")[2]
        raise HarnessError(
            f"{file_name(settings.head)} cannot be used: {told}; expected: a torch.nn.Module made by {name}(shape,"
            f" classes, settings) that turns features [n, {', '.join(map(str, shape))}] into logits [n, {classes}]"
        ) from None


def _train_and_ask(settings: Settings, source: str, shape: Shape, classes: int, device: str) -> None:
    head = make_head(settings, shape, classes, source).to(device)
    maps = torch.rand(IMAGES, *shape, device=device)
    moments = torch.stack(moments_of(maps), dim=1)
    for train in (True, False):
        logits = head.train(train)(part_read(head, maps, moments))
        _check(logits, classes)
        if train and settings.trainable == "head":  # else there is the backbone to be trained
            logits.sum().backward()


def _check(logits: object, classes: int) -> None:
    """Raises HarnessError where these are no logits of so many images and classes."""
    if not isinstance(logits, Tensor):
        raise HarnessError(f"it gives a {type(logits).__name__} and no tensor")
    if logits.shape != (IMAGES, classes) or not logits.is_floating_point():
        kind = str(logits.dtype).removeprefix("torch.")
        raise HarnessError(f"of {IMAGES} images it gives {kind} of shape {list(logits.shape)}")
    if not logits.isfinite().all():
        raise HarnessError("it gives values that are not finite")
