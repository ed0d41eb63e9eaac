"""The sources of images: each returns an image folder with train/ and usually test/."""

import os
from collections.abc import Callable
from pathlib import Path

from harness.data.folder import require_folder
from harness.data.phantom import phantom_folder, phantom_path
from harness.errors import DataError
from harness.store import Store
from harness.study.study import Data

KERMANY = "paultimothymooney/chest-xray-pneumonia"


def _folder(spec: Data, _store: Store) -> Path:
    if spec.path is None:
        raise DataError("the source folder needs a path: data.path in the study file, or --data PATH")
    root = Path(os.path.expanduser(spec.path)).absolute()  # noqa: PTH111 - pathlib raises for an unknown user
    require_folder(root, spec.path)
    return root


def _kermany(spec: Data, store: Store) -> Path:
    if spec.path is not None:
        return _folder(spec, store)
    import kagglehub

    try:
        root = Path(kagglehub.dataset_download(KERMANY))
    except Exception as error:  # whatever the network, the service or its client raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:120]
        raise DataError(
            f"the dataset {KERMANY} cannot be downloaded ({reason}); download it from Kaggle, unpack it,"
            " and give the folder that contains train/ and test/ with --data PATH"
        ) from None
    layouts = (root / "chest_xray", root, root / "chest_xray" / "chest_xray")  # Kaggle has changed it before
    return next((layout for layout in layouts if (layout / "train").is_dir()), root)


def _phantom(spec: Data, store: Store) -> Path:
    if spec.path is not None:
        raise DataError("the source phantom draws its own images and takes no path")
    return phantom_folder(spec.phantom, store)


def images_at_hand(spec: Data, store: Store) -> bool:
    """Whether the folder of the images exists; nothing is drawn or downloaded."""
    if spec.source == "phantom":
        return phantom_path(spec.phantom, store).is_dir()
    return spec.path is not None and Path(os.path.expanduser(spec.path)).is_dir()  # noqa: PTH111 - as above


SOURCES: dict[str, Callable[[Data, Store], Path]] = {"folder": _folder, "kermany": _kermany, "phantom": _phantom}
