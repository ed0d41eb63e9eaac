"""Backbones: timm models without their classifier, with the weights that a study names."""

from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from typing import Any

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.anatomy import IMAGE_SIZE, Anatomy, anatomy
from harness.models.attention import AttentionLayer
from harness.models.foreign import ForeignNetwork
from harness.models.heads import Shape
from harness.models.hub import check_hub
from harness.models.layer_depths import layer_depths
from harness.models.layouts import Layout, PoolError, features_in, features_of
from harness.models.lora import merge_adapters, put_adapters, require_peft
from harness.models.networks import new_network, normalisation
from harness.models.weights import load_file, load_pretrained, reason
from harness.study.allowed import NETWORKS, Pool, is_pretrained
from harness.study.identity import derive_seed
from harness.study.origin import is_own, origin_of, portable_name, short_name
from harness.study.settings import Settings, level_text, weights_file


class Backbone(nn.Module):
    """Images [n, 3, H, W], normalised for the weights, -> feature maps [n, C, h, w].

    size: the number of elements of the parameters that the features depend on.
    """

    def __init__(self, network: nn.Module, layout: Layout, size: int) -> None:
        super().__init__()
        self.network, self.layout, self.size = network, layout, size
        self.mean, self.std = normalisation(network)
        self._frozen: list[nn.Module] = []
        self._contiguous = False

    def put_on(self, device: torch.device) -> "Backbone":
        """Move to the device, in the memory format that is fastest there for its convolutions, or safe."""
        self._contiguous = device.type == "cpu" and any(_is_unsafe(module) for module in self.network.modules())
        layout = torch.contiguous_format if self._contiguous else torch.channels_last
        self.to(device, memory_format=layout)  # type: ignore[call-overload]
        return self

    def freeze(self, trained: Collection[str]) -> None:
        """Freeze all parameters of the network but these.

        Modules without any of these stay in evaluation mode, so that their batch norm does not update its statistics.
        """
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name in trained)
        self._frozen = [m for m in self.network.modules() if _is_frozen(m)]

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode of all modules that are not frozen."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def merged(self) -> "Backbone":
        """A copy whose adapters are part of its weights: a plain backbone, which needs no peft."""
        plain = deepcopy(self)
        merge_adapters(plain.network)
        return plain

    def forward(self, images: Tensor) -> Tensor:
        return features_of(self.network, self._arranged(images), self.layout)

    def in_layouts(self, images: Tensor, layouts: Sequence[Layout]) -> list[Tensor]:
        """The features of images in each of these layouts, by one pass."""
        return features_in(self.network, self._arranged(images), layouts)

    def before_pooling(self, images: Tensor) -> Any:
        """The output of timm's `forward_features`: a map, tokens, or several of them."""
        return self.network.forward_features(self._arranged(images))  # type: ignore[operator]

    def _arranged(self, images: Tensor) -> Tensor:
        return images.contiguous() if self._contiguous else images


def _is_unsafe(module: nn.Module) -> bool:
    """Whether training this convolution in channels_last on a CPU makes oneDNN write out of bounds.

    It does in the weight gradient of a strided 1 x 1 convolution with less than 16 channels: uxlfoundation/oneDNN#6035.
    """
    if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1):
        return False
    return max(module.stride) > 1 and module.in_channels // module.groups < 16


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def load_backbone(settings: Settings, seed: int, pools: Iterable[Pool] = ()) -> Backbone:
    """Load the backbone with its weights; with `weights: none` they are initialised from `seed`.

    pools: further ones that will be read. The network itself is the same for every pool.

    Parameters that the features do not depend on are frozen, and child modules with only such are replaced by Identity.
    With `trainable: last-N` all stages but the last N are frozen too, and with `lora-R` all but adapters in its
    attention, which are put in.
    Raises HarnessError where the backbone does not support the image size, where the weights are not available or do
    not fit, or where it has not more than N stages, or no attention.
    """
    known = anatomy_of(settings)
    further = (anatomy_of(settings.model_copy(update={"pool": pool})).read for pool in pools)
    read = frozenset(known.read).union(*further)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, portable_name(settings.backbone)))
        network, _ = load_network(settings, read)
        _remove_unused(network, read)
        trained = _trained(network, settings, known)
    backbone = Backbone(network, known.layout, known.size(frozenset(known.read)))
    backbone.freeze(trained)
    return backbone


def _trained(network: nn.Module, settings: Settings, known: Anatomy) -> Collection[str]:
    """The names of the parameters that `trainable` names; adapters are put in."""
    if settings.lora_rank:
        return put_adapters(network, [layer.name for layer in adapted_layers(settings)], settings.lora_rank)
    return last_stages(settings) if settings.trainable.startswith("last-") else known.read


def anatomy_of(settings: Settings) -> Anatomy:
    """Inspect the backbone of the settings. Raises HarnessError, naming it, where it cannot be built or run."""
    size = _size(settings)
    try:
        return anatomy(settings.backbone, size, settings.pooling)
    except PoolError as error:
        raise PoolError(f"{short_name(settings.backbone)}: {error}") from None
    except HarnessError as error:
        if is_own(settings.backbone):
            raise HarnessError(f"{short_name(settings.backbone)} at {size} px: {error}") from None
        raise HarnessError(f"{short_name(settings.backbone)} does not take images of {size} px: {error}") from None


def _size(settings: Settings) -> int:
    return settings.image_size if isinstance(settings.image_size, int) else IMAGE_SIZE


def _remove_unused(network: nn.Module, read: frozenset[str]) -> None:
    """Replace each child module that the features do not depend on, such as VGG's classifier, by Identity."""
    owner, before = (network.model, "model.") if isinstance(network, ForeignNetwork) else (network, "")
    for name, part in owner.named_children():
        parameters = [f"{before}{name}.{inner}" for inner, _ in part.named_parameters()]
        if parameters and read.isdisjoint(parameters):
            setattr(owner, name, nn.Identity())


def load_network(settings: Settings, read: Collection[str]) -> tuple[nn.Module, str]:
    """Load the network with its weights; also return the prefix that was removed from the names in the weights file.

    read: the parameters that the features depend on.
    """
    name, size, drop_path = settings.backbone, _size(settings), settings.drop_path
    if name in NETWORKS or settings.weights == "none":
        return new_network(name, size, drop_path), ""
    if is_pretrained(settings.weights) and origin_of(name) is None:
        check_hub(name)
    try:
        if is_pretrained(settings.weights):
            return load_pretrained(name, size, read, drop_path), ""
        return load_file(name, size, read, weights_file(settings.weights), drop_path)
    except Exception as error:  # whatever timm, safetensors and the hub raise
        raise HarnessError(
            f"the weights {settings.weights} cannot be loaded into {short_name(name)}: {reason(error)}"
        ) from error


def last_stages(settings: Settings) -> frozenset[str]:
    """The names of the parameters in the last N stages, for `trainable: last-N`.

    Raises HarnessError where the backbone has not more than N.
    """
    stages, name = anatomy_of(settings).stages, short_name(settings.backbone)
    if not stages:
        raise HarnessError(f"trainable {settings.trainable}: timm defines no stages of {name}; allowed: head, all")
    count = int(settings.trainable.removeprefix("last-"))
    if count >= len(stages):
        allowed = _without_adapters(len(stages))
        raise HarnessError(f"trainable {settings.trainable}: {name} has {len(stages)} stages; allowed: {allowed}")
    return frozenset().union(*stages[-count:])


def adapted_layers(settings: Settings) -> list[AttentionLayer]:
    """The layers that get an adapter, for `trainable: lora-R`: linear ones in attention, larger than R.

    Raises HarnessError where the backbone has none, or peft is not installed.
    """
    require_peft()
    known, rank = anatomy_of(settings), settings.lora_rank
    found = [layer for layer in known.attention if layer.called and rank < min(layer.inputs, layer.outputs)]
    if not found:
        raise HarnessError(
            f"trainable {settings.trainable}: {short_name(settings.backbone)} has no attention with linear layers of"
            f" more than {rank} inputs and outputs; allowed: {_without_adapters(len(known.stages))}, or a transformer"
        )
    return found


def _without_adapters(stages: int) -> str:
    """What `trainable` may be of a backbone with so many stages: `head, last-1 to last-4, all`."""
    last = f" last-1{f' to last-{stages - 1}' if stages > 2 else ''}," if stages > 1 else ""
    return f"head,{last} all"


def require_layers(settings: Settings) -> None:
    """Raise HarnessError where timm names no layers of the backbone, for `layer_decay`."""
    with torch.device("meta"):
        layer_depths(new_network(settings.backbone, _size(settings)), settings.backbone)


def require_drop_path(settings: Settings) -> None:
    """Raise HarnessError where the backbone has no paths that timm can drop, for `drop_path`."""
    try:
        with torch.device("meta"):
            network = new_network(settings.backbone, _size(settings), settings.drop_path)
    except TypeError:  # an argument that its class does not know
        network = nn.Identity()
    if not any(isinstance(module, DropPath) for module in network.modules()):
        raise HarnessError(
            f"drop_path {level_text(settings.drop_path)}: timm drops no paths of {short_name(settings.backbone)};"
            " write drop_path: 0"
        )


def feature_shape(backbone: Backbone, image_size: int) -> Shape:
    """The shape (C, H, W) of the features of one image."""
    backbone.eval()
    parameter = next(backbone.parameters())
    with torch.inference_mode():
        image = torch.zeros(1, 3, image_size, image_size, device=parameter.device, dtype=parameter.dtype)
        _, channels, height, width = backbone(image).shape
    return channels, height, width
