"""Check networks before anything is trained. `python -m harness.models.examine` reads and writes JSON."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict

from harness.errors import HarnessError
from harness.models.anatomy import anatomy
from harness.models.attention import AttentionLayer
from harness.models.backbone import (
    adapted_layers,
    anatomy_of,
    last_stages,
    load_network,
    require_drop_path,
    require_layers,
)
from harness.models.hub import require_pretrained
from harness.models.layouts import PoolError
from harness.models.network_check import NetworkCheck, NetworkSettings
from harness.models.networks import config_of
from harness.models.repositories import has_weights
from harness.models.weights import reason
from harness.study.allowed import NETWORKS, is_pretrained
from harness.study.origin import origin_of
from harness.study.settings import Settings

MAX_SIZES_TRIED = 7  # where a network does not support the image size
MAX_MODULES_NAMED = 4  # of a stage, and layers of attention


def check_network(network: NetworkSettings) -> NetworkCheck:
    """Check that a network supports the image size, has the stages to train, and that its weights file is complete."""
    settings = Settings(**asdict(network))
    try:
        config_of(network.backbone) if origin_of(network.backbone) else None
    except Exception as error:  # whatever the libraries raise of a broken config
        return NetworkCheck(reason(error), "backbone")
    try:
        known = anatomy_of(settings)
    except PoolError as error:
        return NetworkCheck(str(error), "pool")
    except HarnessError as error:
        sizes = supported_sizes(network.backbone, network.image_size)
        hint = f"; sizes that work: {', '.join(map(str, sizes))}" if sizes else "; no other size that was tried works"
        return NetworkCheck(f"{error}{hint}", "image_size" if sizes else "backbone")
    try:
        stage, adapted = _named_by_trainable(settings)
    except HarnessError as error:
        return NetworkCheck(str(error), "trainable")
    wanted = {"layer_decay": network.layer_decay < 1, "drop_path": network.drop_path > 0}
    for field, require in (("layer_decay", require_layers), ("drop_path", require_drop_path)):
        try:
            require(settings) if wanted[field] else None
        except HarnessError as error:
            return NetworkCheck(str(error), field)
    try:
        prefix = ""
        if is_pretrained(network.weights) and origin_of(network.backbone) is None:
            require_pretrained(network.backbone)
        elif network.weights != "none" and has_weights(network.backbone):
            prefix = load_network(settings, known.read)[1]
    except HarnessError as error:
        return NetworkCheck(str(error), "weights")
    trained = known.size(frozenset(known.read) if network.trainable == "all" else stage)
    trained += sum(settings.lora_rank * (layer.inputs + layer.outputs) for layer in adapted)
    return NetworkCheck(
        layout=known.layout, shape=known.shape, parameters=known.size(frozenset(known.read)),
        trained_parameters=trained,
        stage=_layers(adapted) or _modules(name for name in known.read if name in stage), unread=known.unread,
        prefix=prefix, flops=known.flops,
        unadapted=_layers(layer for layer in known.attention if not layer.called) if adapted else "",
    )  # fmt: skip


def _named_by_trainable(settings: Settings) -> tuple[frozenset[str], list[AttentionLayer]]:
    """The parameters of the last stages, and the layers that get adapters, as far as `trainable` names them."""
    stage = last_stages(settings) if settings.trainable.startswith("last-") else frozenset()
    return stage, adapted_layers(settings) if settings.lora_rank else []


def supported_sizes(name: str, wanted: int) -> list[int]:
    """Image sizes near the wanted one that the network supports, and its native size if it does."""
    config = None if name in NETWORKS else config_of(name)
    near = {step * (wanted // step + more) for step, most in ((32, 4), (14, 2)) for more in range(most)}
    native = {config.input_size[-1]} if config else {224}
    sizes = sorted((near | native) - {0, wanted}, key=lambda size: (size not in native, abs(size - wanted)))
    return sorted(size for size in sizes[:MAX_SIZES_TRIED] if _works(name, size))


def _works(name: str, size: int) -> bool:
    try:
        anatomy(name, size)
    except HarnessError:
        return False
    return True


def _modules(names: Iterable[str]) -> str:
    """The modules of these parameters, shortened: `blocks.11, norm`."""
    parts = (name.split(".") for name in names)
    return _named(".".join(part[: 2 if part[1:] and part[1].isdigit() else 1]) for part in parts)


def _layers(layers: Iterable[AttentionLayer]) -> str:
    """These layers by the end of their names, which is the same in every block: `attn.qkv, attn.proj`."""
    return _named(".".join(layer.name.split(".")[-2:]) for layer in layers)


def _named(names: Iterable[str]) -> str:
    """The first of these names, each once."""
    found = [*dict.fromkeys(names)]
    return ", ".join(found[:MAX_MODULES_NAMED]) + (" and more" if len(found) > MAX_MODULES_NAMED else "")


if __name__ == "__main__":
    networks = [NetworkSettings(**each) for each in json.load(sys.stdin)]
    print("\n" + json.dumps([asdict(check_network(network)) for network in networks]))
