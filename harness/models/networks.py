"""Create networks of timm and of the harness, without a classifier."""

import logging
from typing import Any

import timm
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from harness.errors import HarnessError
from harness.models.baselines import built_in_model
from harness.study.preprocessing import eval_transform
from harness.study.settings import NETWORKS

BATCH_NORMS = (nn.BatchNorm2d, BatchNormAct2d)  # timm's own has `drop` and `act` behind it


def native_size(name: str) -> int:
    """The side of the images, in pixels, that the weights of a network were trained with, as timm has it."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None:
        raise HarnessError(f"timm does not say the image size of {name}; write a number instead of native")
    return int(config.input_size[-1])


def native_preprocessing(name: str) -> str:
    """The evaluation transform of the weights of a network, as timm has it: `bicubic-center-0.9`."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None:
        raise HarnessError(f"timm does not say the preprocessing of {name}; write study instead of native")
    channels = config.input_size[0]
    words = f"{config.interpolation or 'bicubic'}-{config.crop_mode or 'center'}-{config.crop_pct or 0.875:g}"
    if channels != 3 or eval_transform(words) is None:
        raise HarnessError(
            f"the weights of {name} ask for {channels} channels and {words}; only 3 channels, and the crops center and"
            " squash, are supported: write study, or spell out another preprocessing"
        )
    return words


def normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of the channels of the images that a network was trained with."""
    config: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    return tuple(config["mean"]), tuple(config["std"])


def new_network(name: str, image_size: int, **weights: Any) -> nn.Module:
    """Create the network `name` for images of this size, randomly initialised unless `weights` are passed to timm.

    Only `num_classes=0` is passed otherwise: another pooling than the default would change the layers of a network.
    """
    if name in NETWORKS:
        return built_in_model(NETWORKS[name])
    logging.getLogger("timm").setLevel(logging.ERROR)
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    fixed: dict[str, Any] = {"img_size": image_size} if config and config.fixed_input_size else {}
    return timm.create_model(name, num_classes=0, **fixed, **weights)
