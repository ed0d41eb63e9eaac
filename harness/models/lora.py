"""Adapters of low rank in the linear layers of a network (LoRA, Hu et al. 2021, arXiv 2106.09685), by peft, an extra.

A layer with the frozen weights W computes (W + B A) x: A [rank, inputs] begins at random and B [outputs, rank] at zero,
so that the network begins as it was. This is peft's default with `lora_alpha` = rank and without dropout.
"""

import math
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from harness.errors import HarnessError

ADAPTER = "default"  # peft's name of the one that a layer has


def require_peft() -> None:
    """Raise HarnessError where peft is not installed."""
    if find_spec("peft") is None:
        raise HarnessError("peft is not installed; pip install 'harness[peft]'")


def put_adapters(network: nn.Module, layers: Iterable[str], rank: int) -> frozenset[str]:
    """Put an adapter around each of these layers, freeze all else, and return the names of the adapters' parameters."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=list(layers))
    inject_adapter_in_model(config, network, ADAPTER)
    return frozenset(name for name, parameter in network.named_parameters() if parameter.requires_grad)


@torch.no_grad()
def draw_adapters(network: nn.Module, seed: int) -> None:
    """Initialise the adapters again: A from the seed, as torch draws the weights of a linear layer, and B at zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in _adapted(network).values():
        first = layer.lora_A[ADAPTER].weight
        drawn = nn.init.kaiming_uniform_(torch.empty(first.shape), a=math.sqrt(5), generator=generator)
        first.copy_(drawn)
        layer.lora_B[ADAPTER].weight.zero_()


def merge_adapters(network: nn.Module) -> None:
    """Add B A to the weights of each layer, and take the adapters away: the modules are again what they were."""
    for name, layer in _adapted(network).items():
        layer.merge()
        network.set_submodule(name, layer.get_base_layer())


def _adapted(network: nn.Module) -> dict[str, Any]:
    """The layers with adapters, by name."""
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in network.named_modules() if isinstance(module, LoraLayer)}
