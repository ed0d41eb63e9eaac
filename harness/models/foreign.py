"""What the harness reads of a network that is not of timm: an adapter has the attributes that timm's networks have."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from torch import Tensor, nn

from harness.errors import HarnessError


class NetworkOutput(NamedTuple):
    """What a network gives before and behind its own pooling, by one pass."""

    places: Tensor  # a map [n, C, h, w] or tokens [n, T, C]
    pooled: Tensor  # [n, features]


class ForeignNetwork(nn.Module):
    """A network of another library, as a module `model` behind timm's methods."""

    num_prefix_tokens: int = 0  # the class token and others before those of the patches
    has_class_token: bool = False  # the first of them
    pools_by_attention: bool = False

    def __init__(self, model: nn.Module, config: Any) -> None:
        super().__init__()
        self.model = model
        self.pretrained_cfg: dict[str, Any] = config.to_dict()

    def forward_features(self, images: Tensor) -> Any:
        """The places before the pooling, as a tensor or NetworkOutput."""
        raise NotImplementedError

    def forward_head(self, features: Any) -> Tensor:
        """The pooled features [n, features], from the output of `forward_features`."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))

    def group_matcher(self, **_: bool) -> Callable[[str], int]:
        """The number of the stage of a parameter: what comes before the blocks is 0, what comes behind is of the last.

        Raises HarnessError where the network has no list of blocks.
        """
        names = [name for name, _ in self.named_parameters()]
        lists = [name for name, part in self.named_modules() if isinstance(part, nn.ModuleList) and len(part) > 1]
        outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
        if not outer:
            raise HarnessError("no list of blocks")
        blocks = max(outer, key=lambda prefix: sum(name.startswith(f"{prefix}.") for name in names))
        inside = [name for name in names if name.startswith(f"{blocks}.")]
        number = {name: int(name.removeprefix(f"{blocks}.").split(".")[0]) + 1 for name in inside}
        first, last = names.index(inside[0]), max(number.values())
        ends = self.end_parameters()
        return {
            name: number.get(name, last if at > first or name in ends else 0)
            for at, name in zip(count(), names, strict=False)
        }.__getitem__

    def end_parameters(self) -> Collection[str]:
        """The parameters behind the blocks that torch lists before them."""
        return ()


@dataclass(frozen=True)
class Loaded:
    """A network with the weights of its folder, and the names that did not meet, as torch names them."""

    network: ForeignNetwork
    missing: frozenset[str]
    state: Mapping[str, Tensor]  # what was loaded, and what the folder has beside it
    unexpected: tuple[str, ...]  # in the folder alone
