"""Create networks of timm and of the harness, without a classifier."""

import logging
from typing import Any

import timm
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from harness.errors import HarnessError
from harness.models.baselines import built_in_model
from harness.study.settings import NETWORKS

BATCH_NORMS = (nn.BatchNorm2d, BatchNormAct2d)  # timm's own has `drop` and `act` behind it


def native_size(name: str) -> int:
    """The side of the images, in pixels, that the weights of a network were trained with, as timm has it."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None:
        raise HarnessError(f"timm does not say the image size of {name}; write a number instead of native")
    return int(config.input_size[-1])


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
