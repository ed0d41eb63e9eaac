"""Brings images, weights and backbones to the nodes of a Ray cluster: by its object store, once to each node."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from filelock import FileLock

from harness.errors import HarnessError
from harness.models.repositories import config_files, weight_files
from harness.store.files import write_atomic
from harness.study.allowed import is_pretrained
from harness.study.identity import digest
from harness.study.origin import origin_of
from harness.study.plan import Job
from harness.study.settings import weights_file
from harness.training.context import Context


@dataclass(frozen=True)
class Shipment:
    """Everything that jobs need on a node; file contents go through the object store, once to each node."""

    context: Context
    files: Mapping[str, Any]  # path on the driver -> reference to its content; empty where nodes share the files


def pack(context: Context, shared: bool, jobs: Iterable[Job]) -> Shipment:
    """Gather what these jobs need; `shared`: the nodes see the driver's files under the same paths."""
    if shared:
        return Shipment(context, {})
    jobs = list(jobs)
    every = {job.scenario.settings.weights for job in jobs}
    weights = {name for name in every if name.endswith(".safetensors")}
    paths = [*context.pixels.values(), *(weights_file(name) for name in weights), *_backbone_files(jobs)]
    return Shipment(context, {str(path): ray.put(np.fromfile(path, np.uint8)) for path in paths})


def unpack(shipment: Shipment, job: Job) -> tuple[Context, Job]:
    """Fetch the files of a job; return the context and the job with the paths of this node."""
    context, settings = shipment.context, job.scenario.settings
    if not shipment.files:
        return context, job
    folder, file = _node_folder(), context.pixels[settings.framing]
    pixels = {settings.framing: _fetch(shipment, file, folder / file.name)}
    context = replace(context, pixels=pixels, features=folder / "features")
    here = dict[str, str]()
    if settings.weights.endswith(".safetensors"):
        target = folder / f"{digest(context.digests.weights[settings.backbone, settings.weights])}.safetensors"
        here["weights"] = str(_fetch(shipment, weights_file(settings.weights), target))
    if (origin := origin_of(settings.backbone)) and origin.folder:
        place = folder / "backbones" / digest(context.digests.weights[settings.backbone, settings.weights])
        place.mkdir(parents=True, exist_ok=True)
        for file in (Path(path) for path in shipment.files):
            if origin.folder in (file, file.parent):
                _fetch(shipment, file, place / file.name)
        here["backbone"] = origin.moved_to(place)
    if not here:
        return context, job
    moved = settings.model_copy(update=here)
    content = context.digests.weights[settings.backbone, settings.weights]
    digests = replace(context.digests, weights={(moved.backbone, moved.weights): content})
    return replace(context, digests=digests), replace(job, scenario=replace(job.scenario, settings=moved))


def _backbone_files(jobs: Iterable[Job]) -> set[Path]:
    """The files on this disk that the backbones of these jobs are made from: a source, or the files of a folder."""
    found = set[Path]()
    for settings in (job.scenario.settings for job in jobs):
        origin = origin_of(settings.backbone)
        if origin is None or origin.folder is None:
            continue
        if origin.is_own:
            found.add(origin.folder)
        else:
            found.update(config_files(origin.folder))
            found.update(weight_files(origin.folder) if is_pretrained(settings.weights) else [])
    return found


def _fetch(shipment: Shipment, source: Path, target: Path) -> Path:
    """Return the copy of the driver's file `source` on this node; the first job that needs it writes it."""
    with FileLock(f"{target}.lock"):
        if not target.exists():
            write_atomic(target, ray.get(shipment.files[str(source)]).tobytes())
    return target


def _node_folder() -> Path:
    """The folder of a node for files named by their content. It outlives a study; only its owner may write there."""
    folder = Path(tempfile.gettempdir(), f"harness-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise HarnessError(f"{folder} belongs to somebody else; set TMPDIR on the nodes")
    return folder
