"""The kept features of a study that has been run, and the rows of its fits, for loops that are not the harness'."""

import json
from functools import partial
from pathlib import Path

import torch
from torch import nn

from harness.models.heads import reads
from harness.store import Store
from harness.training.loaders import FeatureFiles, FeatureInputs


def feature_files(store: Store) -> Path:
    """The folder with the features of the training images; there must be but one backbone's."""
    (folder,) = (path.parent for path in (store.cache / "features").glob("*/about.json") if _of_training(path))
    return folder


def _of_training(path: Path) -> bool:
    return int(json.loads(path.read_text(encoding="utf-8"))["first"]) == 0


def feature_inputs(store: Store, head: nn.Module) -> FeatureInputs:
    """What the harness itself gives this head to read."""
    folder = feature_files(store)
    files = [FeatureFiles(0, folder / "maps.npy", folder / "moments.npy")]
    return FeatureInputs(files, torch.device("cpu"), partial(reads, head))
