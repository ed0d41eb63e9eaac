"""The networks of a study, checked before anything is trained: one pass of shapes, and the weights files.

The results are cached in the store: a second check takes no time and does not load torch.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.data.inputs import Workspace
from harness.errors import HarnessError
from harness.models.load_metrics import try_metrics
from harness.models.network_check import NetworkCheck, NetworkSettings
from harness.models.repositories import folder_of, has_weights
from harness.store import Store
from harness.store.files import read_json, write_atomic
from harness.study import Study
from harness.study.allowed import CLASSIFIERS, is_pretrained
from harness.study.identity import Digests, digest
from harness.study.origin import origin_of, package_of, short_name
from harness.study.provenance import DECISIVE_FILES, code_digest
from harness.study.search_block import Point, Search
from harness.study.settings import ResolvedSettings
from harness.study.strict_yaml import FieldPath

MIN_UNREAD_SHARE = 0.01  # of an image, for a remark
MAX_SIZES = 32  # of a range, checked one by one
EXAMINING_FILES = (
    "models/coverage.py", "models/examine.py", "models/flops.py", "models/hub.py", "models/network_check.py",
)  # fmt: skip
PLACED = ("backbone", "weights", "trainable", "image_size")  # tell which level gave a network its settings
NETWORK_FIELDS = ("backbone", "weights", "trainable", "image_size", "head", "pool", "layer_decay", "drop_path")


@dataclass(frozen=True)
class Networks:
    """All networks that a study can train, and the result of the check of each."""

    found: Mapping[NetworkSettings, NetworkCheck]
    files: Mapping[NetworkSettings, Path]  # where the result is cached

    @property
    def remarks(self) -> list[str]:
        """What a user would not expect of them, a line each."""
        lines = [line for network, check in self.found.items() for line in _remarks(network, check)]
        return list(dict.fromkeys(lines))

    def save(self) -> None:
        """Cache the results in the store for the next command. Call it when nothing can be refused any more."""
        for network, check in self.found.items():
            if read_json(self.files[network]) is None:
                write_atomic(self.files[network], json.dumps(asdict(check)).encode())


def _remarks(network: NetworkSettings, check: NetworkCheck) -> Iterator[str]:
    if check.unread >= MIN_UNREAD_SHARE:
        size = f"{network.image_size} px"
        yield f"{short_name(network.backbone)} at {size}: its patches leave {check.unread:.1%} of each image unread"
    if check.unadapted:
        yield (
            f"{short_name(network.backbone)} with trainable {network.trainable}: its attention reads the weights of"
            f" {check.unadapted} without calling the layer, so that only {check.stage} is adapted"
        )
    if check.prefix:
        yield f"{network.weights}: the prefix {check.prefix} is taken off the names in it"


def check_networks(study: Study, digests: Digests, store: Store, hub: bool = False) -> Networks:
    """Check all networks that the study can train. hub: also whether timm's pretrained weights can be downloaded.

    Raises StudyError, naming the place in the study file, for the first that cannot be built for its images, lacks the
    stages or is not what the weights file holds.
    """
    networks = study_networks(study)
    for network in networks if hub else ():
        _fetch(study, network)
    files = {network: _file(network, digests, store) for network in networks}
    cached = {n: _check_of(values) for n, path in files.items() if (values := read_json(path)) is not None}
    missing = [network for network in networks if network not in cached]
    found = dict(zip(missing, _examined(missing), strict=True)) | cached
    for network in networks:
        check = found[network]
        if check.problem:
            raise study.error(_place(study, check.setting, network), check.problem)
        if hub and is_pretrained(network.weights) and origin_of(network.backbone) is None:
            from harness.models.hub import check_hub

            with study.blamed(*_place(study, "weights", network)):
                check_hub(network.backbone)
    return Networks({network: found[network] for network in networks}, files)


def _fetch(study: Study, network: NetworkSettings) -> None:
    """Download the weights of a backbone of the hub that are not on this machine."""
    origin = origin_of(network.backbone)
    if origin is not None and is_pretrained(network.weights):
        with study.blamed(*_place(study, "backbone", network)):
            folder_of(origin, weights=True)


def study_networks(study: Study) -> list[NetworkSettings]:
    """The networks that the stages, with any winner, or the search can train."""
    found = [settings for stage in study.reached(NETWORK_FIELDS) for settings in stage]
    for point in study.search.reachable(NETWORK_FIELDS) if study.search else ():
        for size in _sizes(study.search, point):
            point |= size
            found.append(study.base.model_copy(update={key: point[key] for key in NETWORK_FIELDS if key in point}))
    resolved = map(study.resolved, found)
    return [*dict.fromkeys(_network(settings) for settings in resolved if settings.backbone not in CLASSIFIERS)]


def _sizes(search: Search | None, point: Point) -> list[Point]:
    """The image sizes of a point of the search: all of a short range, the ends of a long one."""
    sizes = search.space.get("image_size") if search else None
    if sizes is None or sizes.choices is not None or "image_size" not in point:
        return [{}]
    levels = sizes.levels()
    values = levels if len(levels) <= MAX_SIZES else [levels[0], levels[-1]]
    return [{"image_size": value} for value in values]


def _network(settings: ResolvedSettings) -> NetworkSettings:
    names = ("backbone", "weights", "trainable", "image_size", "layer_decay", "drop_path")
    return NetworkSettings(pool=settings.pooling, **{name: getattr(settings, name) for name in names})


def _file(network: NetworkSettings, digests: Digests, store: Store) -> Path:
    """The file of the result of a network, named by the digest of all that it depends on."""
    weights = digests.weights[network.backbone, network.weights]
    code = code_digest((*DECISIVE_FILES, *EXAMINING_FILES))
    known: list[Any] = [asdict(network) | {"weights": weights}, version("timm"), version("torch"), code]
    if package := package_of(network.backbone):
        known.append(version(package))
    if not has_weights(network.backbone):
        known.append("weights not downloaded")
    return store.cache / "networks" / f"{digest(known)}.json"


def _check_of(values: dict[str, Any]) -> NetworkCheck:
    return NetworkCheck(**values | {"shape": tuple(values["shape"])})


def _examined(networks: list[NetworkSettings]) -> list[NetworkCheck]:
    """Check these networks, in a separate process where torch and timm are not loaded yet."""
    if not networks:
        return []
    if "timm" in sys.modules:
        from harness.models.examine import check_network

        return [check_network(network) for network in networks]
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.models.examine"],
        input=json.dumps([asdict(network) for network in networks]),
        capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise HarnessError(f"the networks of the study could not be checked: {last}")
    return [_check_of(values) for values in json.loads(done.stdout.splitlines()[-1])]


def _place(study: Study, setting: str, network: NetworkSettings) -> FieldPath:
    """The field of the study file that gives a network this setting; that of its backbone where no size is named."""
    given = [
        (sum(getattr(settings, name) == getattr(network, name) for name in PLACED), place)
        for field, settings in study.settings()
        if field != ("base",) and setting in (place := study.place(field, setting))
        if getattr(settings, setting) == getattr(network, setting)
    ]
    if given:
        return max(given, key=lambda each: each[0])[1]
    if setting == "image_size" and study.base.image_size is None:
        return _place(study, "backbone", network)
    return ("base", setting)


def require_usable(workspace: Workspace, device: str, say: Callable[[str], None]) -> None:
    """Check every network and head that the study can train, and report what a user would not expect of them.

    Raises HarnessError, naming the place in the study file, for the first that cannot be used.
    """
    networks = check_networks(workspace.study, workspace.inputs.digests, workspace.store, hub=True)
    check_own_parts(workspace, networks, device)
    for remark in networks.remarks:
        say(remark)


def check_own_parts(workspace: Workspace, networks: Networks, device: str) -> None:
    """Try each own loss, optimizer and sampler, and each own head on the features of every network it may be put on.

    Raises HarnessError, naming the place in the study file, where one cannot be used.
    """
    study, sources = workspace.study, workspace.inputs.heads
    if not sources:
        return
    from harness.models.try_head import try_head
    from harness.training.own_parts import try_loss, try_optimizer
    from harness.training.own_sampler import try_sampler

    try_metrics(study, workspace.inputs.own, len(workspace.inputs.dataset.classes))
    fold_labels = workspace.inputs.dataset.labels[workspace.inputs.folds[0].train]
    shapes, classes = sorted({check.shape for check in networks.found.values()}), len(workspace.inputs.dataset.classes)
    for field, settings in study.settings():
        with study.blamed(*study.place(field, "loss")):
            if settings.loss in sources:
                try_loss(settings, sources[settings.loss], classes, device)
        with study.blamed(*study.place(field, "optimizer")):
            if settings.optimizer in sources:
                try_optimizer(settings, sources[settings.optimizer], device)
        with study.blamed(*study.place(field, "oversampling")):
            if settings.oversampling in sources:
                try_sampler(settings.oversampling, sources[settings.oversampling], fold_labels)
        with study.blamed(*study.place(field, "head")):
            for channels, height, width in shapes if settings.head in sources else ():
                try_head(settings, sources[settings.head], (channels, height, width), classes, device)
