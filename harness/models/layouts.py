"""The features of a backbone: one rule for every timm network and each `pool`.

With `pool: map` the heads get what they pool themselves:

map      The last feature map, before timm's pooling. Layers that timm trains after that map, such as the norm of
         ConvNeXt or the last convolution of MobileNetV3, are left out. For every network whose features are a map
         without attention pooling: ResNet, EfficientNet, ConvNeXt, Swin.
tokens   The tokens of the patches on their grid; class, distillation and register tokens are left out. For transformers
         whose pooled feature uses no parameter that the patch tokens do not depend on: ViT, DeiT, DINOv2, CLIP.
pooled   timm's pooled feature, as a map of size 1 x 1. For all others, so that no trained layer is lost: a norm after
         the pooling (BEiT, EVA, Hiera), attention pooling (SigLIP, CLIP's ResNet), blocks for the class token only
         (CaiT, XCiT), class tokens at unknown positions (VOLO, PiT), several maps (CrossViT, CoaT).

With any other pool they get a vector, as a map of size 1 x 1: `native` is timm's pooled feature, as for its own
classifier; `avg` and `max` are taken over the map or the tokens of the patches, `cls` is the class token, and `cls+avg`
both in a row (as in DINOv2's linear probes). Where timm has a norm behind the pooling of tokens (`fc_norm`), each is
normalised by it.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from timm.layers import attention_pool, attention_pool2d
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.foreign import ForeignNetwork, NetworkOutput
from harness.study.allowed import Pool

Layout = Literal["map", "tokens", "pooled", "avg", "cls", "cls+avg", "max"]

ATTENTION_POOLS = tuple(  # found by name in timm's two modules, as newer versions have more of them
    value
    for module in (attention_pool, attention_pool2d)
    for name, value in vars(module).items()
    if isinstance(value, type) and "AttentionPool" in name
)
CLASS_TOKEN = re.compile(r"(^|\.)cls_token\d?$")  # the first of all tokens
EXTRA_TOKEN = re.compile(r"(^|\.)(cls|class|dist|reg)_?token")


class PoolError(HarnessError):
    """The network has no such pool."""


def features_of(network: nn.Module, images: Tensor, layout: Layout) -> Tensor:
    """The features [n, C, h, w] of images [n, 3, H, W]."""
    if layout == "pooled":
        features: Tensor = network(images)
        return features[..., None, None]
    return from_places(network, network.forward_features(images), layout)  # type: ignore[operator]


def features_in(network: nn.Module, images: Tensor, layouts: Sequence[Layout]) -> list[Tensor]:
    """The features [n, C, h, w] of images in several layouts, by one pass; the same values as one by one."""
    if len(layouts) == 1 or not hasattr(network, "forward_head"):
        return [features_of(network, images, layout) for layout in layouts]
    features = network.forward_features(images)  # type: ignore[operator]
    return [from_places(network, features, layout) for layout in layouts]


def places(features: Any) -> Any:
    """What has places in the image of the output of `forward_features`."""
    return features.places if isinstance(features, NetworkOutput) else features


def places_of(network: nn.Module, features: Any) -> Tensor | str:
    """The output of `forward_features` as a map [n, C, h, w], or what it is where it has no places in the image."""
    features = places(features)
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        return "no single map"
    if features.ndim == 4:
        return _as_map(network, features)
    prefix = prefix_tokens(network)
    if prefix is None or features.shape[1] <= prefix:
        return "tokens whose places timm does not say"
    patches = _on_grid(_patches(network, features))
    return f"{patches.shape[2]} tokens, which is not a square" if patches.shape[3] == 1 < patches.shape[2] else patches


def from_places(network: nn.Module, features: Any, layout: Layout) -> Tensor:
    """The features [n, C, h, w] in a layout, from the output of `forward_features`."""
    if layout == "pooled":
        pooled: Tensor = network.forward_head(features)  # type: ignore[operator]
        return pooled[..., None, None]
    features = places(features)
    if layout == "map":
        return _as_map(network, features)
    if layout == "tokens":
        return _on_grid(_patches(network, features))
    return torch.cat([_pooled(network, features, pool) for pool in layout.split("+")], dim=1)[..., None, None]


def _pooled(network: nn.Module, features: Tensor, pool: str) -> Tensor:
    """The features [n, C] of one pool, behind the norm that timm has there."""
    if pool == "cls":
        found = features[:, 0]
    elif features.ndim == 3:
        patches = _patches(network, features)
        found = patches.mean(dim=1) if pool == "avg" else patches.amax(dim=1)
    else:
        features = _as_map(network, features)
        found = features.mean(dim=(2, 3)) if pool == "avg" else features.amax(dim=(2, 3))
    norm = getattr(network, "fc_norm", None)
    return found if norm is None else norm(found)


def _as_map(network: nn.Module, features: Tensor) -> Tensor:
    return features.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "NCHW") == "NHWC" else features


def _patches(network: nn.Module, tokens: Tensor) -> Tensor:
    return tokens[:, prefix_tokens(network) or 0 :]


def _on_grid(tokens: Tensor) -> Tensor:
    """Reshape tokens [n, T, C] to [n, C, h, w], row by row; to [n, C, T, 1] where T is not a square."""
    side = math.isqrt(tokens.shape[1])
    shape = (side, side) if side**2 == tokens.shape[1] else (tokens.shape[1], 1)
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *shape)


def prefix_tokens(network: nn.Module) -> int | None:
    """The number of tokens before those of the patches; None where the network has some but not the attribute."""
    count: Any = getattr(network, "num_prefix_tokens", None)
    if count is not None:
        return int(count)
    return None if any(EXTRA_TOKEN.search(name) for name, _ in network.named_parameters()) else 0


def layout_of(network: nn.Module, images: Tensor, pool: Pool) -> Layout:
    """The layout of a pool. Raises PoolError where the network has no such pool."""
    if pool == "map":
        return choose_layout(network, images)
    allowed = pools_of(network, images)
    if pool not in allowed:
        raise PoolError(f"pool {pool}: this network has {', '.join(allowed)}")
    return "pooled" if pool == "native" else pool


def pools_of(network: nn.Module, images: Tensor) -> list[Pool]:
    """The pools that a network has, by a forward pass; the values of the images do not matter."""
    native = network(images).ndim == 2  # an encoder of maps has no pooling of its own
    features = places(network.forward_features(images))  # type: ignore[operator]
    dimensions = features.ndim if isinstance(features, Tensor) else 0
    prefix = prefix_tokens(network)
    placed = dimensions == 4 or (dimensions == 3 and prefix is not None and features.shape[1] > prefix)
    classed = dimensions == 3 and _has_class_token(network)
    found: list[tuple[Pool, bool]] = [
        ("map", True), ("native", native), ("avg", placed), ("max", placed), ("cls", classed),
        ("cls+avg", placed and classed),
    ]  # fmt: skip
    return [pool for pool, has in found if has]


def _has_class_token(network: nn.Module) -> bool:
    if isinstance(network, ForeignNetwork):
        return network.has_class_token
    return any(CLASS_TOKEN.search(name) for name, _ in network.named_parameters())


def choose_layout(network: nn.Module, images: Tensor) -> Layout:
    """Choose the layout of a network's features by a forward pass; the values of the images do not matter."""
    with _layers_of_single_tokens(network, len(images)) as class_layers:
        features = places(network.forward_features(images))  # type: ignore[operator]
    dimensions = features.ndim if isinstance(features, Tensor) else 0
    if dimensions == 4 and not _pools_by_attention(network):
        return "map"
    prefix = prefix_tokens(network)
    if dimensions != 3 or prefix is None or features.shape[1] <= prefix or (prefix and class_layers):
        return "pooled"
    return "tokens" if parameters_read(network, network(images)) <= parameters_read(network, features) else "pooled"


def _pools_by_attention(network: nn.Module) -> bool:
    if isinstance(network, ForeignNetwork) and network.pools_by_attention:
        return True
    return any(isinstance(module, ATTENTION_POOLS) for module in network.modules())


@contextmanager
def _layers_of_single_tokens(network: nn.Module, batch: int) -> Iterator[list[nn.Module]]:
    """Collect the layers with parameters that get only the first tokens of each image, such as those of a class token.

    Gradients cannot find them: on the meta device a slice of a concatenated tensor depends on all of its parts.
    """
    found: list[nn.Module] = []
    most = max(prefix_tokens(network) or 0, 1)

    def record(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        given = arguments[0] if arguments else None
        seen = given.shape if isinstance(given, Tensor) else torch.Size()
        if len(seen) in (2, 3) and seen[0] == batch and (len(seen) == 2 or seen[1] <= most):
            found.append(module)

    handles = [
        module.register_forward_pre_hook(record)
        for module in network.modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def parameters_read(network: nn.Module, output: Any) -> frozenset[str]:
    """The names of the parameters that the output depends on."""
    tensors = [*_tensors(output)]
    total = sum((tensor.sum() for tensor in tensors), torch.zeros((), device=tensors[0].device))
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    gradients = torch.autograd.grad(total, list(named.values()), retain_graph=True, allow_unused=True)
    return frozenset(name for name, gradient in zip(named, gradients, strict=True) if gradient is not None)


def _tensors(output: Any) -> Iterable[Tensor]:
    if isinstance(output, Tensor):
        return (output,)
    parts = output.values() if isinstance(output, dict) else output
    return (tensor for part in parts for tensor in _tensors(part) if tensor.is_floating_point())
