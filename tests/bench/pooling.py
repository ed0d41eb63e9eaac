"""How timm pools the features of a network for its own classifier, in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.layouts import ATTENTION_POOLS, pools_of
from harness.models.networks import new_network

WORDS = {"avg": "mean", "fast": "mean", "fastavg": "mean", "token": "class token", "map": "attention pooling"}
IMAGES = 2


def pooling_of(name: str, size: int) -> tuple[str, str]:
    """The pools of a network beside `map`, and what `native` is: `mean, then head.norm`."""
    with torch.device("meta"), torch.no_grad():
        network, images = new_network(name, size), torch.zeros(IMAGES, 3, size, size)
        pools = [pool for pool in pools_of(network, images) if pool != "map"]
        return ", ".join(pools), _native(network, images) if "native" in pools else "none: an encoder of maps"


def _native(network: nn.Module, images: Tensor) -> str:
    features = network.forward_features(images)  # type: ignore[operator]
    with _called(network) as called:
        network.forward_head(features)  # type: ignore[operator]
    pools = {name for name, module in network.named_modules() if isinstance(module, ATTENTION_POOLS)}
    inside = [name for name in called if any(f"{name}.".startswith(f"{pool}.") for pool in pools)]
    behind = dict.fromkeys(_short(name) for name in called if name not in inside)
    how = "attention pooling" if inside else _how(network, features)
    return how + (f", then {', '.join(behind)}" if behind else "")


def _how(network: nn.Module, features: Any) -> str:
    """What timm pools: by its attribute `global_pool`, or the type of its pooling layer."""
    if not isinstance(features, Tensor):
        return "of several maps or lists of tokens"
    if any(name.endswith("dist_token") for name, _ in network.named_parameters()):
        return "class and distillation token"
    given = getattr(network, "global_pool", None)
    given = getattr(getattr(network, "head", None), "global_pool", None) if given is None else given
    kind = given if isinstance(given, str) else getattr(given, "pool_type", None)
    classed = features.ndim == 3 and hasattr(network, "cls_token") and kind is None
    return WORDS.get(str(kind), "class token" if classed else "mean" if kind is None else str(kind))


def _short(name: str) -> str:
    return ".".join(name.split(".")[:2])


@contextmanager
def _called(network: nn.Module) -> Iterator[list[str]]:
    """Collect the names of the modules with own parameters that are called within this block."""
    found: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda _module, _arguments, name=name: found.append(name))
        for name, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
