"""Random changes of training images, on the device, a whole batch at a time."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from harness.training.loaders import Scale
from harness.training.rand_augment import rand_augmented

# The most that an affine change does; all are drawn uniformly.
MAX_DEGREES = 10.0
MAX_SHIFT = 0.05  # of a side
MAX_SCALE = 0.1  # larger or smaller by this share
MAX_CONTRAST = 0.2  # the same, of the distance of each pixel from the mean of its image
MAX_BRIGHTNESS = 0.2  # of the standard deviation of the image


class Augmentation:
    """The changes of one epoch: images [n, C, H, H] -> the same, changed.

    kind: none, or flip (left and right exchanged in half of the images), affine (turned, moved, scaled; bilinear, what
    comes in from beyond the edge is mirrored), or both; medical is affine with other contrast and brightness, and no
    side is exchanged; randaugment, alone or after flip, is torchvision's, which needs to know the scale of the images.
    Every change is drawn beforehand on the CPU, from `seed` alone: it depends on the epoch and on the place of an image
    in it, and neither on the device nor on how batches are cut.
    """

    def __init__(self, kind: str, images: int, seed: int, device: torch.device, scale: Scale | None = None) -> None:
        rng = np.random.default_rng(seed)
        flips = rng.random(images) < 0.5
        self._flips = torch.from_numpy(flips).to(device) if "flip" in kind else None
        moves = "affine" in kind or kind == "medical"
        self._moves = torch.from_numpy(_moves(images, rng)).to(device) if moves else None
        self._light = torch.from_numpy(_light(images, rng)).to(device) if kind == "medical" else None
        self._seeds = rng.integers(2**31, size=images).tolist() if "randaugment" in kind else None
        self._scale = scale

    def __call__(self, images: Tensor, first: int) -> Tensor:
        """Change a batch. first: the place of its first image in the epoch."""
        now = slice(first, first + len(images))
        if self._flips is not None:
            images = torch.where(self._flips[now].view(-1, 1, 1, 1), images.flip(3), images)
        if self._moves is not None:
            grid = affine_grid(self._moves[now], list(images.shape), align_corners=False)
            images = grid_sample(images, grid, padding_mode="reflection", align_corners=False)
            images = images.contiguous(memory_format=torch.channels_last)
        if self._light is not None:
            contrast, brightness = self._light[:, now].view(2, -1, 1, 1, 1)
            mean, deviation = images.mean(dim=(2, 3), keepdim=True), images.std(dim=(2, 3), keepdim=True)
            images = mean + contrast * (images - mean) + brightness * deviation
        if self._seeds is not None:
            assert self._scale is not None
            images = rand_augmented(images, self._seeds[now], self._scale)
        return images


def _moves(images: int, rng: np.random.Generator) -> np.ndarray:
    """Matrices [n, 2, 3] that lead from a place in the new image to its place in the old one, sides at -1 and 1."""
    angle = np.deg2rad(rng.uniform(-MAX_DEGREES, MAX_DEGREES, images))
    scale = 1 + rng.uniform(-MAX_SCALE, MAX_SCALE, images)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    shift = rng.uniform(-2 * MAX_SHIFT, 2 * MAX_SHIFT, (2, 1, images))
    return np.concatenate([turn, shift], axis=1).transpose(2, 0, 1).astype(np.float32)


def _light(images: int, rng: np.random.Generator) -> np.ndarray:
    """What contrast is multiplied by, and what is added in standard deviations of an image: [2, n]."""
    contrast = 1 + rng.uniform(-MAX_CONTRAST, MAX_CONTRAST, images)
    return np.stack([contrast, rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS, images)]).astype(np.float32)
