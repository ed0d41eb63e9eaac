"""Networks looked at before anything is trained. `python -m harness.models.examine` reads and writes JSON."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict

import timm

from harness.errors import HarnessError
from harness.models.anatomy import anatomy
from harness.models.backbone import anatomy_of, last_stages, with_weights
from harness.models.hub import require_pretrained
from harness.models.verdicts import Network, Verdict
from harness.study.settings import NETWORKS, Settings

TRIED = 7  # other sizes, where a network does not take the one that is wanted
SHOWN = 4  # modules of a stage


def examine(network: Network) -> Verdict:
    """What there is to say of a network: whether it takes such images, has such stages, and its file holds it whole."""
    settings = Settings(**asdict(network))
    try:
        known = anatomy_of(settings)
    except HarnessError as error:
        sizes = sizes_that_go(network.backbone, network.image_size)
        told = f"; sizes that go: {', '.join(map(str, sizes))}" if sizes else "; no other size that was tried goes"
        return Verdict(f"{error}{told}", "image_size" if sizes else "backbone")
    stage: frozenset[str] = frozenset()
    if network.trainable.startswith("last-"):
        try:
            stage = last_stages(settings)
        except HarnessError as error:
            return Verdict(str(error), "trainable")
    try:
        prefix = ""
        if network.weights == "imagenet":
            require_pretrained(network.backbone)
        elif network.weights != "none":
            prefix = with_weights(settings, known)[1]
    except HarnessError as error:
        return Verdict(str(error), "weights")
    learnt = frozenset(known.read) if network.trainable == "all" else stage
    return Verdict(
        layout=known.layout, shape=known.shape, parameters=known.size(frozenset(known.read)), learnt=known.size(learnt),
        stage=_modules(name for name in known.read if name in stage), unread=known.unread, prefix=prefix,
    )  # fmt: skip


def sizes_that_go(name: str, wanted: int) -> list[int]:
    """Image sizes near the wanted one that the network takes, and the one that it was made for."""
    config = None if name in NETWORKS else timm.get_pretrained_cfg(name, allow_unregistered=True)
    near = {step * (wanted // step + more) for step, most in ((32, 4), (14, 2)) for more in range(most)}
    native = {config.input_size[-1]} if config else {224}
    tried = sorted((near | native) - {0, wanted}, key=lambda size: (size not in native, abs(size - wanted)))[:TRIED]
    return sorted(size for size in tried if _goes(name, size))


def _goes(name: str, size: int) -> bool:
    try:
        anatomy(name, size)
    except HarnessError:
        return False
    return True


def _modules(names: Iterable[str]) -> str:
    """The modules that these parameters stand in, in a few words: `blocks.11, norm`."""
    parts = (name.split(".") for name in names)
    modules = dict.fromkeys(".".join(part[: 2 if part[1:] and part[1].isdigit() else 1]) for part in parts)
    return ", ".join([*modules][:SHOWN]) + (" and more" if len(modules) > SHOWN else "")


if __name__ == "__main__":
    asked = [Network(**each) for each in json.load(sys.stdin)]
    print("\n" + json.dumps([asdict(examine(network)) for network in asked]))
