"""What a backbone is for images of one size: found by its shapes alone, on torch's meta device, without a weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from harness.errors import HarnessError
from harness.models.coverage import Coverage
from harness.models.heads import Shape
from harness.models.layouts import Layout, choose_layout, features_of, parameters_read
from harness.models.networks import new_network

IMAGE_SIZE = 224  # where nothing names another
LEAST = 0.001  # the share of a network that its last stage has at least
BATCH = 2  # images: batch norm in training wants more than one


@dataclass(frozen=True)
class Anatomy:
    """A backbone, seen from outside."""

    layout: Layout
    shape: Shape  # of the features
    read: Mapping[str, int]  # the parameters that the features depend on: name -> numbers
    stages: tuple[frozenset[str], ...]  # of them, in their order; none where timm tells none
    unread: float  # the share of an image that its grid of patches leaves out

    def size(self, names: frozenset[str]) -> int:
        """How many numbers these parameters are."""
        return sum(self.read[name] for name in names)


@lru_cache(maxsize=256)
def anatomy(name: str, image_size: int) -> Anatomy:
    """The anatomy of a backbone. Raises HarnessError, with the reason alone, where it cannot be built or run."""
    coverage = Coverage(image_size)
    try:
        with torch.device("meta"):
            network = new_network(name, image_size)
            images = torch.zeros(BATCH, 3, image_size, image_size)
            for parameter in network.parameters():
                parameter.requires_grad_(True)  # fixed ones, such as a position embedding of sines, are read too
            layout = choose_layout(network, images)
            with coverage.watching(network):
                features = features_of(network, images, layout)
    except Exception as error:  # whatever timm and torch raise
        reason = " ".join(str(error).split())[:160].strip()
        raise HarnessError(reason or type(error).__name__) from error
    if features.ndim != 4:
        raise HarnessError(f"its features have the shape {tuple(features.shape[1:])}, and are no map")
    read = parameters_read(network, features)
    sizes = {key: parameter.numel() for key, parameter in network.named_parameters() if key in read}
    _, channels, height, width = features.shape
    return Anatomy(layout, (channels, height, width), sizes, _stages(network, read), coverage.unread)


def _stages(network: nn.Module, read: frozenset[str]) -> tuple[frozenset[str], ...]:
    """The read parameters as timm groups them coarsely.

    What one would not train by itself is no stage, and joins the one before it: a group of vectors alone, such as a
    norm, and at the end next to nothing, such as the rotary embedding that all blocks share.
    """
    from timm.models import group_parameters

    try:
        matcher = network.group_matcher(coarse=True)  # type: ignore[operator]
        groups = group_parameters(network, matcher)
    except Exception:  # no such method, or none for coarse groups
        return ()
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters() if name in read}
    weights = {name for name, parameter in network.named_parameters() if parameter.ndim > 1}
    stages: list[frozenset[str]] = []
    for _, group in sorted(groups.items()):
        names = read.intersection(group)
        if names and stages and not (names & weights and stages[-1] & weights):
            stages[-1] |= names
        elif names:
            stages.append(names)
    while len(stages) > 1 and sum(sizes[name] for name in stages[-1]) < LEAST * sum(sizes.values()):
        stages[-2:] = [stages[-2] | stages[-1]]
    return tuple(stages)
