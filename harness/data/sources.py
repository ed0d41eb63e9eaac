"""Where a study's images come from: each source gives back an image folder with train/ and, mostly, test/."""

import os
from collections.abc import Callable
from pathlib import Path

from harness.data.phantom import phantom_folder
from harness.errors import DataError
from harness.store import Store
from harness.study import Data

KERMANY = "paultimothymooney/chest-xray-pneumonia"


def _folder(spec: Data, _store: Store) -> Path:
    if spec.path is None:
        raise DataError("the source folder needs a path: data.path in the study file, or --data PATH")
    root = Path(os.path.expanduser(spec.path)).absolute()  # noqa: PTH111 - pathlib raises for an unknown user
    if not spec.path or not os.path.isdir(root):  # noqa: PTH112 - pathlib raises for a name that is too long
        raise DataError(
            f"{spec.path} is not a folder; expected one with train/CLASS/* and, for a test set, test/CLASS/*"
        )
    return root


def _kermany(spec: Data, store: Store) -> Path:
    if spec.path is not None:
        return _folder(spec, store)
    import kagglehub

    try:
        root = Path(kagglehub.dataset_download(KERMANY)) / "chest_xray"
    except Exception as error:  # whatever the network, the service or its client raises
        reason = str(error).strip().splitlines()[-1][:120] if str(error).strip() else type(error).__name__
        raise DataError(
            f"the dataset {KERMANY} cannot be downloaded ({reason}); get it by hand from Kaggle, unpack it,"
            " and give the folder that holds train/ and test/ with --data PATH"
        ) from None
    return root


def _phantom(spec: Data, store: Store) -> Path:
    if spec.path is not None:
        raise DataError("the source phantom draws its own images and takes no path")
    return phantom_folder(spec.phantom, store)


SOURCES: dict[str, Callable[[Data, Store], Path]] = {"folder": _folder, "kermany": _kermany, "phantom": _phantom}
