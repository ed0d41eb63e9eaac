"""Views of an image: the whole of it and its corners, and their mirror images, the mean of which predicts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, channels_last
from torch.nn.functional import interpolate

from harness.stats.metrics import Probabilities

CROP = 0.9  # of a side


@dataclass(frozen=True)
class ImageView:
    """One look at images [n, C, H, W], of the same size. corner: (at the bottom, at the right); None: the whole."""

    corner: tuple[bool, bool] | None = None
    mirrored: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Return this view of the images; of the whole of them the images themselves."""
        if self.corner is not None:
            images = _enlarged(images, *self.corner)
        return images.flip(3).contiguous(memory_format=channels_last) if self.mirrored else images


WHOLE = ImageView()
CORNERS = tuple(ImageView((bottom, right)) for bottom in (False, True) for right in (False, True))


def views_of(tta: str) -> tuple[ImageView, ...]:
    """The views of this test-time augmentation, the whole image first."""
    views = [WHOLE, *CORNERS] if "crops" in tta else [WHOLE]
    return (*views, *(replace(view, mirrored=True) for view in views if "flip" in tta))


def mean_of_views(found: Mapping[ImageView, Probabilities], tta: str) -> Probabilities:
    """The mean of the probabilities [n, classes] over the views of this augmentation; others may be among them."""
    first, *others = (found[view] for view in views_of(tta))
    return sum(others, start=first) / (1 + len(others))


def _enlarged(images: Tensor, bottom: bool, right: bool) -> Tensor:
    """A corner of the images, CROP of a side, resized to theirs (bilinear)."""
    height, width = images.shape[2:]
    tall, wide = round(CROP * height), round(CROP * width)
    top, left = (height - tall if bottom else 0), (width - wide if right else 0)
    crop = images[:, :, top : top + tall, left : left + wide]
    found = interpolate(crop, size=(height, width), mode="bilinear", align_corners=False)
    return found.contiguous(memory_format=channels_last)
