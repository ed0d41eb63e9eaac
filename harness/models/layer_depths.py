"""How deep each layer of a network of timm lies, for a learning rate that decays layer by layer."""

from torch import nn

from harness.errors import HarnessError
from harness.study.origin import short_name

HEAD = "head.weight"  # a name that no layer of a backbone has


def layer_depths(network: nn.Module, backbone: str) -> dict[str, int]:
    """The distance of each parameter's layer from the head, which is 0, by timm's fine groups of layers.

    What timm has behind the last layer, such as the norm before a classifier, is where the classifier was: 0 too.
    Raises HarnessError where timm names no layers of it.
    """
    from timm.models._manipulate import group_with_matcher

    try:
        matcher = network.group_matcher(coarse=False)  # type: ignore[operator]
    except (AttributeError, TypeError):  # no such method, or none for fine groups
        raise HarnessError(f"timm names no layers of {short_name(backbone)}; write layer_decay: 1") from None
    named = [*network.named_parameters(), (HEAD, None)]
    layers: dict[str, int] = group_with_matcher(iter(named), matcher, reverse=True)
    return {name: layers[HEAD] - layer for name, layer in layers.items() if name != HEAD}
