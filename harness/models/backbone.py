"""Backbones: timm models without their classifier, with the weights that a study names."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.anatomy import IMAGE_SIZE, Anatomy, anatomy
from harness.models.heads import Shape
from harness.models.hub import check_hub
from harness.models.layouts import Layout, features_of
from harness.models.networks import new_network
from harness.models.weights import in_a_line, load_file, load_pretrained
from harness.study.identity import derive_seed
from harness.study.settings import NETWORKS, Settings, weights_file


class Backbone(nn.Module):
    """Images [n, 3, H, W], normalised as the weights want them, -> feature maps [n, C, h, w].

    size: how many numbers of its parameters the features depend on.
    """

    def __init__(self, network: nn.Module, layout: Layout, size: int) -> None:
        super().__init__()
        self.network, self.layout, self.size = network, layout, size
        config: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
        self.mean: tuple[float, ...] = tuple(config["mean"])
        self.std: tuple[float, ...] = tuple(config["std"])
        self._frozen: list[nn.Module] = []
        self._contiguous = False

    def put_on(self, device: torch.device) -> "Backbone":
        """Moves to the device, in the memory layout in which its convolutions are fast there, or safe."""
        self._contiguous = device.type == "cpu" and any(_is_unsafe(module) for module in self.network.modules())
        layout = torch.contiguous_format if self._contiguous else torch.channels_last
        self.to(device, memory_format=layout)  # type: ignore[call-overload]
        return self

    def freeze(self, trained: Collection[str]) -> None:
        """Leaves of the network's parameters no others than these to training.

        A module with none of them stays in evaluation mode for good: batch norm there keeps its statistics.
        """
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name in trained)
        self._frozen = [m for m in self.network.modules() if _is_frozen(m)]

    def train(self, mode: bool = True) -> "Backbone":
        """Sets the mode of all that is not frozen."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous() if self._contiguous else images
        return features_of(self.network, images, self.layout)


def _is_unsafe(module: nn.Module) -> bool:
    """Whether training this convolution in channels_last on a CPU writes past the memory that is oneDNN's.

    That is the weight gradient of a strided convolution of 1 x 1 and fewer than 16 channels: uxlfoundation/oneDNN#6035.
    """
    if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1):
        return False
    return max(module.stride) > 1 and module.in_channels // module.groups < 16


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def load_backbone(settings: Settings, seed: int) -> Backbone:
    """The backbone with its weights; `seed` draws them where the settings ask for none.

    What its features do not depend on is taken off where it stands by itself, and is never trained. With `trainable:
    last-N` the stages before are frozen too.
    Raises HarnessError where the backbone takes no such images, weights cannot be had or do not fit, or where there
    are no N stages.
    """
    known = anatomy_of(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, settings.backbone))
        network, _ = with_weights(settings, known)
    _take_off_unread(network, known)
    backbone = Backbone(network, known.layout, known.size(frozenset(known.read)))
    backbone.freeze(last_stages(settings) if settings.trainable.startswith("last-") else known.read)
    return backbone


def anatomy_of(settings: Settings) -> Anatomy:
    """The anatomy of the backbone that the settings name. Raises HarnessError, naming it, where there is none."""
    size = settings.image_size or IMAGE_SIZE
    try:
        return anatomy(settings.backbone, size)
    except HarnessError as error:
        raise HarnessError(f"{settings.backbone} takes no images of {size} px: {error}") from None


def _take_off_unread(network: nn.Module, known: Anatomy) -> None:
    """Puts nothing in the place of each part of the network that no feature depends on, such as VGG's classifier."""
    for name, part in network.named_children():
        parameters = [f"{name}.{inner}" for inner, _ in part.named_parameters()]
        if parameters and not known.read.keys() & set(parameters):
            setattr(network, name, nn.Identity())


def with_weights(settings: Settings, known: Anatomy) -> tuple[nn.Module, str]:
    """The network with its weights, and the prefix that was taken off the names of their file."""
    name, size = settings.backbone, settings.image_size or IMAGE_SIZE
    if name in NETWORKS or settings.weights == "none":
        return new_network(name, size), ""
    if settings.weights == "imagenet":
        check_hub(name)
    try:
        if settings.weights == "imagenet":
            return load_pretrained(name, size, known.read), ""
        return load_file(name, size, known.read, weights_file(settings.weights))
    except Exception as error:  # whatever timm, safetensors and the hub raise
        raise HarnessError(
            f"the weights {settings.weights} cannot be loaded into {name}: {in_a_line(error)}"
        ) from error


def last_stages(settings: Settings) -> frozenset[str]:
    """The names of the parameters in the last N stages, as timm groups them, for `trainable: last-N`.

    Raises HarnessError where the backbone has not more than N.
    """
    stages = anatomy_of(settings).stages
    if not stages:
        raise HarnessError(
            f"trainable {settings.trainable}: timm tells no stages of {settings.backbone}; allowed: head, all"
        )
    count = int(settings.trainable.removeprefix("last-"))
    if count >= len(stages):
        last = f" last-1{f' to last-{len(stages) - 1}' if len(stages) > 2 else ''}," if len(stages) > 1 else ""
        raise HarnessError(
            f"trainable {settings.trainable}: {settings.backbone} has {len(stages)} stages; allowed: head,{last} all"
        )
    return frozenset().union(*stages[-count:])


def feature_shape(backbone: Backbone, image_size: int) -> Shape:
    """The shape (C, H, W) of the features of one image."""
    backbone.eval()
    parameter = next(backbone.parameters())
    with torch.inference_mode():
        image = torch.zeros(1, 3, image_size, image_size, device=parameter.device, dtype=parameter.dtype)
        _, channels, height, width = backbone(image).shape
    return channels, height, width
