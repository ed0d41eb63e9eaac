"""Create networks of timm and of the harness, without a classifier."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import timm
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from harness.errors import HarnessError
from harness.models.baselines import built_in_model
from harness.models.foreign import ForeignNetwork, Loaded
from harness.models.from_own import OwnClass
from harness.models.repositories import CONFIGS, folder_of, read_config, require_installed
from harness.study.allowed import NETWORKS
from harness.study.origin import LOCAL, Origin, origin_of
from harness.study.preprocessing import eval_transform

BATCH_NORMS = (nn.BatchNorm2d, BatchNormAct2d)  # timm's own has `drop` and `act` behind it


ADAPTERS = {"open_clip": "harness.models.from_open_clip", "transformers": "harness.models.from_transformers"}


class Adapter(Protocol):
    """The module of another library, or a class of the user's own."""

    def describe(self, folder: Path, /) -> Any:
        """How the images of the model in a folder are prepared, as timm says it of its own."""

    def build(self, folder: Path, image_size: int, /) -> ForeignNetwork:
        """The network of a folder with random weights."""

    def load(self, folder: Path, image_size: int, /) -> Loaded:
        """The network of a folder with its weights."""


def adapter_of(origin: Origin) -> Adapter:
    """The module that reads the folders of a library. Raises HarnessError where the library is not installed."""
    require_installed(origin)
    if origin.is_own:
        return OwnClass(origin.class_name)
    return cast(Adapter, import_module(ADAPTERS[origin.library]))


def config_of(name: str) -> Any:
    """The config of a network's weights, as timm has it: size, normalisation, resizing, licence; None where unknown."""
    origin = origin_of(name)
    if origin is None:
        return timm.get_pretrained_cfg(name, allow_unregistered=True)
    folder = folder_of(origin)
    if origin.library != "timm":
        return adapter_of(origin).describe(folder)
    config = read_config(folder / CONFIGS["timm"])
    known = config.get("pretrained_cfg", config)
    fields = timm.models.PretrainedCfg.__dataclass_fields__
    return timm.models.PretrainedCfg(**{key: value for key, value in known.items() if key in fields})


def native_size(name: str) -> int:
    """The side of the images, in pixels, that the weights of a network were trained with, as timm has it."""
    config = config_of(name)
    if config is None:
        raise HarnessError(f"timm does not say the image size of {name}; write a number instead of native")
    return int(config.input_size[-1])


def native_preprocessing(name: str) -> str:
    """The evaluation transform of the weights of a network, as timm has it: `bicubic-center-0.9`."""
    config = config_of(name)
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


def new_network(name: str, image_size: int, drop_path: float = 0.0, **weights: Any) -> nn.Module:
    """Create the network `name` for images of this size, randomly initialised unless `weights` are passed to timm.

    Only `num_classes=0` is passed otherwise: another pooling than the default would change the layers of a network.
    drop_path: of a network of timm; raises TypeError where it takes none.
    """
    if name in NETWORKS:
        return built_in_model(NETWORKS[name])
    logging.getLogger("timm").setLevel(logging.ERROR)
    origin = origin_of(name)
    if origin is not None and origin.library != "timm":
        return adapter_of(origin).build(folder_of(origin), image_size)
    config = config_of(name)
    if origin is not None:
        name = f"{LOCAL}:{folder_of(origin, weights='pretrained' in weights)}"
    fixed: dict[str, Any] = {"img_size": image_size} if config and config.fixed_input_size else {}
    dropped: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    return timm.create_model(name, num_classes=0, **fixed, **dropped, **weights)
