"""A backbone of the user's own: a class in a Python file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import PretrainedCfg
from torch import Tensor, nn

from harness.errors import HarnessError, described
from harness.models.custom import head_class
from harness.models.foreign import ForeignNetwork, Loaded, NetworkOutput
from harness.study.own_file import read_source

NATIVE_SIZE = 224  # pixels, where the class does not say `image_size`


class OwnNetwork(ForeignNetwork):
    """A network whose output has places, [n, C, h, w] or [n, T, C], or none, [n, C].

    Its pooled feature is the mean over the places, or the class token.
    """

    def __init__(self, model: nn.Module, config: Any, expected: str) -> None:
        super().__init__(model, config)
        self.num_prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))
        self.has_class_token = bool(getattr(model, "has_class_token", self.num_prefix_tokens > 0))
        self._expected = expected

    def forward_features(self, images: Tensor) -> NetworkOutput:
        found = self.model(images)
        if not isinstance(found, Tensor) or found.ndim not in (2, 3, 4) or len(found) != len(images):
            given = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise HarnessError(f"for {len(images)} images it returns {given}; {self._expected}")
        if found.ndim == 2:
            return NetworkOutput(found[..., None, None], found)
        if found.ndim == 4:
            return NetworkOutput(found, found.mean(dim=(2, 3)))
        pooled = found[:, 0] if self.has_class_token else found[:, self.num_prefix_tokens :].mean(dim=1)
        return NetworkOutput(found, pooled)

    def forward_head(self, features: NetworkOutput) -> Tensor:
        return features.pooled


@dataclass(frozen=True)
class OwnClass:
    """The adapter of one class: the `folder` of its methods is the file."""

    name: str

    def describe(self, folder: Path) -> PretrainedCfg:
        """How the images of the class are prepared, by its attributes; by default as most of timm's."""
        made = self._class(folder)
        size = getattr(made, "image_size", NATIVE_SIZE)
        mean, std = getattr(made, "mean", IMAGENET_DEFAULT_MEAN), getattr(made, "std", IMAGENET_DEFAULT_STD)
        if not (isinstance(size, int) and _are_channels(mean) and _are_channels(std)):
            raise HarnessError(
                f"{self.name} has image_size {size}, mean {mean} and std {std}; expected: a whole number, and three"
                " numbers each"
            )
        return PretrainedCfg(
            input_size=(3, size, size), mean=tuple(mean), std=tuple(std), interpolation="bicubic", crop_pct=1.0,
            num_classes=0,
        )  # fmt: skip

    def build(self, folder: Path, image_size: int) -> OwnNetwork:
        """Make the class for images of this size. Raises HarnessError, with what is expected, where that fails."""
        expected = (
            f"expected: a torch.nn.Module made by {self.name}(image_size) that turns images [n, 3, {image_size},"
            f" {image_size}] into a map [n, C, h, w], tokens [n, T, C] or vectors [n, C]"
        )
        try:
            model = self._class(folder)(image_size)
        except HarnessError:
            raise
        except Exception as error:  # a user's code raises anything
            raise HarnessError(f"{folder.name} cannot be used: {described(error)}; {expected}") from None
        if not isinstance(model, nn.Module):
            raise HarnessError(f"{folder.name} cannot be used: {self.name} makes a {type(model).__name__}; {expected}")
        return OwnNetwork(model, self.describe(folder), expected)

    def load(self, folder: Path, _: int) -> Loaded:
        """Raise HarnessError: a class has no pretrained weights."""
        raise HarnessError(f"{self.name} in {folder.name} has no pretrained weights; write weights: none, or a file")

    def _class(self, folder: Path) -> Any:
        return head_class(f"{folder.stem}:{self.name}", read_source(folder, self.name, "backbone"))


def _are_channels(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 3 and all(isinstance(v, int | float) for v in values)
