"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719), as torchvision has it, with draws that depend on nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandAugment

from harness.training.loaders import Scale

_RANDOM = RandAugment(interpolation=InterpolationMode.BILINEAR)  # two operations of magnitude 9 of 31, none of a flip


def rand_augmented(images: Tensor, seeds: list[int], scale: Scale) -> Tensor:
    """Change scaled images [n, 3, H, W], each by operations drawn from its seed.

    The operations are of whole pixels: each image becomes the pixels again that it was made of, and is scaled again.
    """
    pixels = scale.pixels(images)
    return scale.scaled(torch.stack([_changed(image, seed) for image, seed in zip(pixels, seeds, strict=True)]))


def _changed(image: Tensor, seed: int) -> Tensor:
    with _drawn_from(seed):
        found = _RANDOM(image)
    assert isinstance(found, Tensor)
    return found


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Let torch's generator of the CPU, by which torchvision draws, begin with this seed, and then go on as before.

    Not `torch.manual_seed`, which would seed the generators of GPUs too, those of dropout.
    """
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
