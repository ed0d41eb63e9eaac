"""Weights from a file or from the hub: all that a network's features depend on, or an error of one line."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.networks import new_network

SHOWN = 3  # names in an error


@dataclass(frozen=True)
class Loading:
    """How a state dict went into a network."""

    state: Mapping[str, Tensor]  # as timm has converted it
    missing: frozenset[str] = field(default_factory=frozenset)
    unexpected: tuple[str, ...] = ()


def load_file(name: str, image_size: int, read: Collection[str], path: Path) -> tuple[nn.Module, str]:
    """The network with the weights of a safetensors file, and the prefix that was taken off the file's names.

    read: the parameters that the features depend on, all of which must be in the file, as the buffers beside them.
    Raises whatever timm and safetensors raise, or HarnessError with the reason.
    """
    state = safetensors.torch.load_file(path)
    if not state:
        raise HarnessError("it holds nothing")
    problems: list[Exception] = []
    for prefix in _prefixes(state, read):
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        try:
            with _recorded() as loadings:
                network = new_network(name, image_size, pretrained=True, pretrained_cfg_overlay={"state_dict": part})
            require_whole(network, read, loadings)
        except Exception as error:  # whatever timm's conversion makes of names that it does not know
            problems.append(error)
        else:
            return network, prefix
    common = _common_prefix(state)
    told = f"; all names in the file begin with {common}" if common else ""
    raise HarnessError(f"{in_a_line(problems[-1])}{told}")


def in_a_line(error: Exception) -> str:
    """The error in one line; what torch lists at length is cut."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return reason if isinstance(error, HarnessError) else reason[:200]


def load_pretrained(name: str, image_size: int, read: Collection[str]) -> nn.Module:
    """The network with timm's own weights. Raises what timm and the hub raise, or HarnessError where one lacks."""
    with _recorded() as loadings:
        network = new_network(name, image_size, pretrained=True)
    if loadings:  # weights of the first transformers are set one by one, by timm's own code
        require_whole(network, read, loadings)
    return network


def _prefixes(state: Collection[str], names: Collection[str]) -> list[str]:
    """The prefixes to try, the likeliest last. Raises HarnessError where two fit equally well."""
    counts: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        for at in range(len(parts)):
            if ".".join(parts[at:]) in names:
                counts["".join(f"{part}." for part in parts[:at])] += 1
    best = [prefix for prefix, count in counts.items() if count == max(counts.values())]
    if len(best) > 1 and counts[best[0]] > len(names) // 2:
        raise HarnessError(f"it holds the network {len(best)} times, under {' and '.join(sorted(best))}; keep one")
    likely = best[0] if best else ""
    return [*dict.fromkeys(prefix for prefix in ("", _common_prefix(state)) if prefix != likely), likely]


def _common_prefix(state: Collection[str]) -> str:
    """The parts that all names begin with, such as `model.backbone.`."""
    columns = zip(*(key.split(".")[:-1] for key in state), strict=False)
    common = takewhile(lambda parts: len(set(parts)) == 1, columns)
    return "".join(f"{parts[0]}." for parts in common)


@contextmanager
def _recorded() -> Iterator[list[Loading]]:
    """Notes how networks are loaded within it; timm, which keeps that to itself, is never strict."""
    found: list[Loading] = []
    plain = nn.Module.load_state_dict

    def load(module: nn.Module, state: Mapping[str, Any], **_: object) -> Any:
        result = plain(module, state, strict=False)
        found.append(Loading(state, frozenset(result.missing_keys), tuple(result.unexpected_keys)))
        return result

    nn.Module.load_state_dict = load  # type: ignore[assignment,method-assign]
    try:
        yield found
    finally:
        nn.Module.load_state_dict = plain  # type: ignore[method-assign]


def require_whole(network: nn.Module, read: Collection[str], loadings: list[Loading]) -> None:
    """Raises HarnessError where something that the features depend on did not come from the file, or is no number.

    Also where the file holds weights for parts that the network does not have: they are of another one.
    """
    loading = loadings[-1] if loadings else Loading({}, frozenset(network.state_dict()))
    needed = _needed(network, read)
    missing = [names[0] for names in needed if loading.missing.issuperset(names)]
    if missing:
        told = f"{len(needed) - len(missing)} of the {len(needed)} tensors that its features depend on are in the file"
        raise HarnessError(f"{told}; missing: {_some(missing)}")
    foreign = [name for name in loading.unexpected if _is_foreign(name, loading.state[name], network, needed)]
    if foreign:
        raise HarnessError(f"the file is of another network: it has weights for {_some(foreign)}")
    came = [name for names in needed for name in names if name not in loading.missing]
    infinite = [name for name in came if not torch.isfinite(loading.state[name]).all()]
    if infinite:
        raise HarnessError(f"the file holds NaN or infinite values: in {_some(infinite)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _needed(network: nn.Module, read: Collection[str]) -> list[list[str]]:
    """What of the network's state the features depend on, each tensor by all its names: it may have two.

    A buffer is needed where a parameter of the nearest module around it with any is. Counts of batches decide nothing.
    """
    parameters = {name for name, _ in network.named_parameters()}

    def near(name: str) -> bool:
        around = name.rpartition(".")[0]
        while around and not any(parameter.startswith(f"{around}.") for parameter in parameters):
            around = around.rpartition(".")[0]
        return any(parameter.startswith(f"{around}.") or not around for parameter in read)

    names: dict[int, list[str]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not name.endswith("num_batches_tracked"):
            names.setdefault(id(tensor), []).append(name)
    return [of for of in names.values() if (of[0] in read if of[0] in parameters else near(of[0]))]


def _is_foreign(name: str, value: Tensor, network: nn.Module, needed: list[list[str]]) -> bool:
    """Whether these are weights of a part that would stand within one that the features depend on."""
    around = name.rpartition(".")[0]
    modules = dict(network.named_modules())
    while around and around not in modules:
        around = around.rpartition(".")[0]
    inside = around and any(name.startswith(f"{around}.") for names in needed for name in names)
    return bool(inside) and value.is_floating_point() and value.ndim > 1
