"""The linear layers in the attention of a network, found by its structure: what adapters of low rank are put into."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from torch import nn

ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)  # in the name of a module, or of its class
BESIDE = re.compile(r"mlp|ffn|pool", re.IGNORECASE)  # a part of such a module that is none, or the pooling at the end


@dataclass(frozen=True)
class AttentionLayer:
    """A linear layer in a module of attention.

    called: in a pass. Some networks, such as BEiT, read the weights of a layer without calling it, and what is put
    around the layer takes no part there.
    """

    name: str
    inputs: int
    outputs: int
    called: bool


class AttentionCalls:
    """Which linear layers in attention a pass calls."""

    def __init__(self, network: nn.Module) -> None:
        classes = {name: type(module).__name__ for name, module in network.named_modules()}
        self._layers = {
            name: layer
            for name, layer in network.named_modules()
            if type(layer) is nn.Linear and _is_in_attention(name, classes)
        }
        self._called: set[str] = set()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the calls of the passes made meanwhile."""

        def record(name: str, *_: object) -> None:
            self._called.add(name)

        handles = [layer.register_forward_hook(partial(record, name)) for name, layer in self._layers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def layers(self, read: frozenset[str]) -> tuple[AttentionLayer, ...]:
        """The layers whose weights are among these parameters."""
        return tuple(
            AttentionLayer(name, layer.in_features, layer.out_features, name in self._called)
            for name, layer in self._layers.items()
            if f"{name}.weight" in read
        )


def _is_in_attention(name: str, classes: dict[str, str]) -> bool:
    """Whether a layer lies in a module of attention. classes: of the modules by name."""
    parts, inside = name.split("."), False
    for end in range(1, len(parts)):
        words = f"{parts[end - 1]} {classes['.'.join(parts[:end])]}"
        inside = (inside or bool(ATTENTION.search(words))) and not BESIDE.search(words)
    return inside
