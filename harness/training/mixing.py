"""Mixup and CutMix: training images mixed in pairs, and their labels with them, batch by batch as timm's Mixup does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from harness.study.settings import Settings

CUTMIX_SHARE = 0.5  # of the batches, where both are asked for; the others have mixup


@dataclass(frozen=True)
class Mix:
    """How the images of a batch are mixed, each with the one at the mirrored place of its part of the batch.

    share: of an image in what becomes of it, and of its label. box: the rows and columns that CutMix takes from the
    other image; None: all pixels are mixed.
    """

    share: float
    box: tuple[slice, slice] | None = None

    def images(self, images: Tensor) -> Tensor:
        """The images [n, C, H, W], mixed."""
        others = images.flip(0)
        if self.box is None:
            return torch.lerp(others, images, self.share)
        mixed = images.clone()
        mixed[:, :, *self.box] = others[:, :, *self.box]
        return mixed

    def labels(self, labels: Tensor, classes: int) -> Tensor:
        """The shares [n, classes] of the classes in the mixed images. labels: [n]."""
        shares = one_hot(labels, classes).float()
        return torch.lerp(shares.flip(0), shares, self.share)


class Mixing:
    """The mixes of one epoch, drawn beforehand on the CPU from `seed` alone; none where the settings ask for none.

    parts: of each batch, the number of parts that go through the network at a time. They have its share and its box.
    """

    def __init__(self, settings: Settings, parts: Sequence[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        wanted = settings.mixup > 0 or settings.cutmix > 0
        self._mixes = [mix for count in parts for mix in [_draw(settings, rng)] * count] if wanted else None

    def images(self, parts: Iterator[Tensor]) -> Iterator[Tensor]:
        """The images of each part, mixed."""
        if self._mixes is None:
            return parts
        return (mix.images(images) for mix, images in zip(self._mixes, parts, strict=True))

    def labels(self, parts: Iterable[Tensor], classes: int) -> list[Tensor]:
        """The labels of each part: the shares of the classes, or as they are where nothing is mixed."""
        if self._mixes is None:
            return [*parts]
        return [mix.labels(labels, classes) for mix, labels in zip(self._mixes, parts, strict=True)]


def _draw(settings: Settings, rng: np.random.Generator) -> Mix:
    """The mix of a batch: mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019)."""
    cut = settings.mixup == 0 or (settings.cutmix > 0 and rng.random() < CUTMIX_SHARE)
    alpha = settings.cutmix if cut else settings.mixup
    share = float(rng.beta(alpha, alpha))
    assert isinstance(settings.image_size, int)
    return _box(share, settings.image_size, rng) if cut else Mix(share)


def _box(share: float, side: int, rng: np.random.Generator) -> Mix:
    """CutMix with a square box anywhere, of 1 - share of the image; what lies beyond its edge is added to the share."""
    length = int(side * np.sqrt(1 - share))
    starts = rng.integers(side, size=2) - length // 2
    rows, columns = (slice(max(int(start), 0), min(int(start) + length, side)) for start in starts)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mix(1 - area / side**2, (rows, columns))
