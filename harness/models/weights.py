"""Load weights from a file or the hub: complete for what the features depend on, or an error in one line."""

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

from harness.errors import HarnessError, one_line
from harness.models.networks import adapter_of, new_network
from harness.models.repositories import folder_of
from harness.study.number_words import first_of
from harness.study.origin import is_own, origin_of

MAX_NAMES = 3  # in an error
OWN_PREFIX = "model."  # of the names in a class of the user's own, behind those of its file


@dataclass(frozen=True)
class Loading:
    """The result of loading a state dict into a network."""

    state: Mapping[str, Tensor]  # as converted by timm
    missing: frozenset[str] = field(default_factory=frozenset)
    unexpected: tuple[str, ...] = ()


def load_file(
    name: str, image_size: int, read: Collection[str], path: Path, drop_path: float = 0.0
) -> tuple[nn.Module, str]:
    """Load the weights of a safetensors file; return the network and the prefix that was removed from the file's names.

    read: the parameters that the features depend on; the file must contain all of them, and the buffers next to them.
    Raises what timm and safetensors raise, or HarnessError with the reason.
    """
    state = safetensors.torch.load_file(path)
    if not state:
        raise HarnessError("it is empty")
    problems: list[Exception] = []
    names = {key.removeprefix(OWN_PREFIX) for key in read} if is_own(name) else read
    for prefix in _prefixes(state, names):
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        try:
            network, loadings = _with_state(name, image_size, part, drop_path)
            require_whole(network, read, loadings)
        except Exception as error:  # timm's conversion of unknown names raises anything
            problems.append(error)
        else:
            return network, prefix
    common = _common_prefix(state)
    hint = f"; all names in the file begin with {common}" if common else ""
    raise HarnessError(f"{reason(problems[-1])}{hint}")


def _with_state(
    name: str, image_size: int, state: Mapping[str, Tensor], drop_path: float
) -> tuple[nn.Module, list[Loading]]:
    """The network with what fits of a state dict, and what was loaded of it."""
    if not is_own(name):
        with _recorded() as loadings:
            overlay = {"state_dict": state}
            network = new_network(name, image_size, drop_path, pretrained=True, pretrained_cfg_overlay=overlay)
        return network, loadings
    network = new_network(name, image_size)
    with _recorded() as loadings:
        network.load_state_dict({f"{OWN_PREFIX}{key}": value for key, value in state.items()})
    return network, loadings


def reason(error: Exception) -> str:
    """The message of the error on one line; that of torch is cut, as it lists all names."""
    return str(error) if isinstance(error, HarnessError) else one_line(error)


def load_pretrained(name: str, image_size: int, read: Collection[str], drop_path: float = 0.0) -> nn.Module:
    """Load the pretrained weights of timm, of a folder or of the hub.

    Raises what the libraries raise, or HarnessError where some are missing.
    """
    origin = origin_of(name)
    if origin is not None and origin.library != "timm":
        loaded = adapter_of(origin).load(folder_of(origin, weights=True), image_size)
        require_whole(loaded.network, read, [Loading(loaded.state, loaded.missing, loaded.unexpected)])
        return loaded.network
    with _recorded() as loadings:
        network = new_network(name, image_size, drop_path, pretrained=True)
    if loadings:  # timm sets the weights of its first transformers one by one, without load_state_dict
        require_whole(network, read, loadings)
    return network


def _prefixes(state: Collection[str], names: Collection[str]) -> list[str]:
    """The prefixes to try, the most likely last. Raises HarnessError where two match equally well."""
    counts: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        for at in range(len(parts)):
            if ".".join(parts[at:]) in names:
                counts["".join(f"{part}." for part in parts[:at])] += 1
    best = [prefix for prefix, count in counts.items() if count == max(counts.values())]
    if len(best) > 1 and counts[best[0]] > len(names) // 2:
        raise HarnessError(f"it contains the network {len(best)} times, as {' and '.join(sorted(best))}; keep one")
    likely = best[0] if best else ""
    return [*dict.fromkeys(prefix for prefix in ("", _common_prefix(state)) if prefix != likely), likely]


def _common_prefix(state: Collection[str]) -> str:
    """The common prefix of all names, such as `model.backbone.`."""
    columns = zip(*(key.split(".")[:-1] for key in state), strict=False)
    common = takewhile(lambda parts: len(set(parts)) == 1, columns)
    return "".join(f"{parts[0]}." for parts in common)


@contextmanager
def _recorded() -> Iterator[list[Loading]]:
    """Record what `load_state_dict` loads within this block, never strictly; timm does not return it."""
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
    """Raise HarnessError where a tensor that the features depend on is not in the file, or not finite.

    Also where the file has weights for modules that the network does not have: it is the file of another network.
    """
    loading = loadings[-1] if loadings else Loading({}, frozenset(network.state_dict()))
    needed = _needed(network, read)
    missing = [names[0] for names in needed if loading.missing.issuperset(names)]
    if missing:
        found = f"{len(needed) - len(missing)} of the {len(needed)} tensors that its features depend on are in the file"
        raise HarnessError(f"{found}; missing: {first_of(missing, MAX_NAMES)}")
    foreign = [name for name in loading.unexpected if _is_foreign(name, loading.state[name], network, needed)]
    if foreign:
        raise HarnessError(f"the file is of another network: it has weights for {first_of(foreign, MAX_NAMES)}")
    loaded = [name for names in needed for name in names if name not in loading.missing]
    infinite = [name for name in loaded if not torch.isfinite(loading.state[name]).all()]
    if infinite:
        raise HarnessError(f"the file contains NaN or infinite values: in {first_of(infinite, MAX_NAMES)}")


def _needed(network: nn.Module, read: Collection[str]) -> list[list[str]]:
    """The tensors of the state dict that the features depend on, each with all its names, as it may be shared.

    A buffer is needed if a parameter of the nearest enclosing module with parameters is; `num_batches_tracked` is not.
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
    """Whether these are weights of a missing module inside one that the features depend on."""
    around = name.rpartition(".")[0]
    modules = dict(network.named_modules())
    while around and around not in modules:
        around = around.rpartition(".")[0]
    inside = around and any(name.startswith(f"{around}.") for names in needed for name in names)
    return bool(inside) and value.is_floating_point() and value.ndim > 1
