"""The cached features of a study that has been run, and the rows of its fits, for the loops of other libraries."""

import json
from functools import partial
from pathlib import Path

import torch
from torch import nn

from harness.models.heads import reads
from harness.store import Store
from harness.training.loaders import FeatureFiles, FeatureLoader


def feature_files(store: Store) -> Path:
    """The folder with the features of the training images; there must be but one backbone's."""
    (folder,) = (path.parent for path in (store.cache / "features").glob("*/about.json") if _of_training(path))
    return folder


def _of_training(path: Path) -> bool:
    return int(json.loads(path.read_text(encoding="utf-8"))["first"]) == 0


def feature_loader(store: Store, head: nn.Module) -> FeatureLoader:
    """The loader that the harness itself gives this head."""
    folder = feature_files(store)
    files = [FeatureFiles(0, folder / "maps.npy", folder / "moments.npy")]
    return FeatureLoader(files, torch.device("cpu"), partial(reads, head))
