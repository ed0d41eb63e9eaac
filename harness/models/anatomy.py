"""Inspect a backbone for one image size: on torch's meta device, so only shapes are computed and no weights needed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from harness.errors import HarnessError, one_line
from harness.models.attention import AttentionCalls, AttentionLayer
from harness.models.coverage import Coverage
from harness.models.flops import flops_of
from harness.models.heads import Shape
from harness.models.layouts import Layout, PoolError, features_of, layout_of, parameters_read
from harness.models.networks import new_network, normalisation
from harness.models.repositories import own_source
from harness.study.allowed import Pool
from harness.study.origin import is_own, origin_of

IMAGE_SIZE = 224  # the default
MIN_STAGE_SHARE = 0.001  # of the parameters, in the last stage
META_BATCH = 2  # images: batch norm in training mode needs more than one


@dataclass(frozen=True)
class Anatomy:
    """The properties of a backbone that the harness needs."""

    layout: Layout
    shape: Shape  # of the features
    read: Mapping[str, int]  # the parameters that the features depend on: name -> number of elements
    stages: tuple[frozenset[str], ...]  # these parameters by stage, in order; empty where there are none
    unread: float  # the proportion of an image that is outside all patches
    flops: int  # of one image, 2 for a multiply-add
    mean: tuple[float, ...]  # of the normalisation of its images
    std: tuple[float, ...]
    attention: tuple[AttentionLayer, ...] = ()  # whose weights the features depend on

    def size(self, names: frozenset[str]) -> int:
        """The number of elements of these parameters."""
        return sum(self.read[name] for name in names)


def anatomy(name: str, image_size: int, pool: Pool = "map") -> Anatomy:
    """Inspect a backbone. Raises HarnessError, with only the reason, where it cannot be built or run.

    PoolError where it has no such pool.
    """
    origin = origin_of(name)
    return cached_anatomy(name, image_size, pool, own_source(origin) if origin and origin.is_own else "")


@lru_cache(maxsize=256)
def cached_anatomy(name: str, image_size: int, pool: Pool, _source: str) -> Anatomy:
    """Inspect a backbone, once for each source of a class of the user's own."""
    try:
        return _inspected(name, image_size, pool, "meta")
    except PoolError:
        raise
    except Exception as error:  # whatever timm and torch raise
        if is_own(name) or (isinstance(error, NotImplementedError) and origin_of(name) is not None):
            return _on_cpu(name, image_size, pool)
        raise HarnessError(one_line(error, 160)) from error


def _on_cpu(name: str, image_size: int, pool: Pool) -> Anatomy:
    """Inspect a backbone of another library, or the user's own, which computes what the meta device cannot."""
    try:
        return _inspected(name, image_size, pool, "cpu")
    except HarnessError:
        raise
    except Exception as error:
        raise HarnessError(one_line(error, 160)) from error


def _inspected(name: str, image_size: int, pool: Pool, device: str) -> Anatomy:
    """Inspect a backbone on this device. Raises whatever the libraries raise."""
    coverage = Coverage(image_size)
    with torch.device(device):
        network = new_network(name, image_size)
        images = torch.zeros(META_BATCH, 3, image_size, image_size)
        for parameter in network.parameters():
            parameter.requires_grad_(True)  # fixed ones, such as a sine position embedding, count too
        layout, calls = layout_of(network, images, pool), AttentionCalls(network)
        with coverage.recording(network), calls.recording():
            features = features_of(network, images, layout)
        flops = flops_of(lambda: features_of(network, images, layout)) // META_BATCH
    if features.ndim != 4:
        raise HarnessError(f"its features have the shape {tuple(features.shape[1:])} and are not a map")
    read = parameters_read(network, features)
    sizes = {key: parameter.numel() for key, parameter in network.named_parameters() if key in read}
    _, channels, height, width = features.shape
    shape, stages = (channels, height, width), _stages(network, read)
    mean, std = normalisation(network)
    return Anatomy(layout, shape, sizes, stages, coverage.unread, flops, mean, std, calls.layers(read))


def _stages(network: nn.Module, read: frozenset[str]) -> tuple[frozenset[str], ...]:
    """The parameters that the features depend on, in the groups of the network.

    A group that one would not train by itself joins the group before it: one with vectors only, such as a norm, and a
    tiny one at the end, such as the rotary embedding that all blocks share.
    """
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters() if name in read}
    weights = {name for name, parameter in network.named_parameters() if parameter.ndim > 1}
    stages: list[frozenset[str]] = []
    for group in _groups(network):
        names = read.intersection(group)
        if names and stages and not (names & weights and stages[-1] & weights):
            stages[-1] |= names
        elif names:
            stages.append(names)
    while len(stages) > 1 and sum(sizes[name] for name in stages[-1]) < MIN_STAGE_SHARE * sum(sizes.values()):
        stages[-2:] = [stages[-2] | stages[-1]]
    return tuple(stages)


def _groups(network: nn.Module) -> list[list[str]]:
    """The names of the parameters in timm's coarse groups, or by the network's own parts where timm has no groups."""
    from timm.models import group_parameters

    try:
        matcher = network.group_matcher(coarse=True)  # type: ignore[operator]
        return [group for _, group in sorted(group_parameters(network, matcher).items())]
    except HarnessError:  # a network of another library without a list of blocks
        return []
    except Exception:  # no such method, or none for coarse groups: PoolFormer, PiT, RDNet
        return _parts(network)


def _parts(network: nn.Module) -> list[list[str]]:
    """The names of the parameters of each part of a network in their order, those of its largest part item by item.

    Parameters of the network itself, such as a class token, belong to the first part.
    """
    sizes = Counter[str]()
    for name, parameter in network.named_parameters():
        if "." in name:
            sizes[name.partition(".")[0]] += parameter.numel()
    parts: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        part, _, inner = name.rpartition(".")[0].partition(".")
        part = part or next(iter(sizes), "")
        item = inner.partition(".")[0] if part == max(sizes, key=sizes.__getitem__) else ""
        parts.setdefault(f"{part}.{item}", []).append(name)
    return [*parts.values()]
