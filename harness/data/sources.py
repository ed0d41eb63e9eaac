"""The sources of images: each returns an image folder with train/CLASS/* and usually test/CLASS/*."""

import os
from collections.abc import Callable
from pathlib import Path

from harness.data.digits import digits_folder, digits_path
from harness.data.folder import require_folder
from harness.data.npz import npz_folder, npz_path
from harness.data.phantom import phantom_folder, phantom_path
from harness.data.set_images import of_set
from harness.data.table_file import ENDINGS
from harness.errors import DataError, printable
from harness.store import Store
from harness.study.data_block import Data

ROOT = ("data", "root")
KERMANY = "paultimothymooney/chest-xray-pneumonia"


def _folder(spec: Data, _store: Store) -> Path:
    if spec.path is None:
        raise DataError("the source folder needs a path: data.path in the study file, or --data PATH")
    root = _absolute(spec.path)
    if root.suffix.lower() == ".npz" and root.is_file():
        raise DataError(f"{printable(spec.path)} is an .npz file: write `source: npz`", ("data", "source"))
    require_folder(root, spec.path)
    return root


def _absolute(path: str) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 - pathlib raises for an unknown user


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


def _digits(spec: Data, store: Store) -> Path:
    if spec.path is not None:
        raise DataError("the source digits has its images from scikit-learn and takes no path")
    return digits_folder(store)


def _npz(spec: Data, store: Store) -> Path:
    if spec.path is None:
        raise DataError("the source npz needs a path: data.path in the study file, or --data PATH")
    return npz_folder(_absolute(spec.path), store)


def _table(spec: Data, _store: Store) -> Path:
    if spec.path is None:
        raise DataError("the source table needs a path: data.path in the study file, or --data FILE")
    table = _absolute(spec.path)
    if not table.is_file():
        what = "is a folder" if table.is_dir() else "is not there"
        raise DataError(f"{printable(spec.path)} {what}; name a table of images ({', '.join(ENDINGS)})")
    root = _table_root(spec.path, spec.root)
    if not root.is_dir():
        raise DataError(f"{printable(str(root))} is not a folder; name the one where the table's paths start", ROOT)
    return root


def _table_root(table: str, root: str | None) -> Path:
    return _absolute(table).parent if root is None else _absolute(root)


def named_root(spec: Data) -> Path | None:
    """The folder of the images as the study file names it; None where it names none."""
    if spec.path is None:
        return None
    return _table_root(spec.path, spec.root) if spec.source == "table" else _absolute(spec.path)


def set_folders(spec: Data, store: Store) -> dict[str, Path]:
    """The image folders of the test sets with a source of their own. Raises DataError with the field of the set."""
    found = {}
    for name, own in spec.own_sets.items():
        with of_set(name):
            found[name] = SOURCES[own.source](own, store)
    return found


def made_folders(spec: Data, store: Store) -> list[Path]:
    """The folders in the store that these sources draw or unpack; whether they exist already or not."""
    found = (_made_folder(each, store) for each in (spec, *spec.own_sets.values()))
    return [folder for folder in found if folder is not None]


def _made_folder(spec: Data, store: Store) -> Path | None:
    if spec.source in DRAWN:
        return DRAWN[spec.source](spec, store)
    if spec.source == "npz" and spec.path is not None and _absolute(spec.path).is_file():
        return npz_path(_absolute(spec.path), store)
    return None


def images_at_hand(spec: Data, store: Store) -> bool:
    """Whether the images exist, those of each test set too; nothing is drawn, unpacked or downloaded."""
    return all(_is_at_hand(each, store) for each in (spec, *spec.own_sets.values()))


def _is_at_hand(spec: Data, store: Store) -> bool:
    if spec.source in DRAWN:
        return DRAWN[spec.source](spec, store).is_dir()
    path, root = None if spec.path is None else _absolute(spec.path), named_root(spec)
    if path is None or root is None:
        return False
    return path.is_file() if spec.source == "npz" else root.is_dir() and (spec.source != "table" or path.is_file())


def given_folder(path: Path, store: Store) -> Path:
    """The folder with the images that a command got by `--data`: an .npz file is unpacked outside the store."""
    return npz_folder(path, Store(store.temporary / "given")) if path.is_file() else path


SOURCES: dict[str, Callable[[Data, Store], Path]] = {
    "folder": _folder, "table": _table, "kermany": _kermany, "npz": _npz, "phantom": _phantom, "digits": _digits,
}  # fmt: skip
DRAWN: dict[str, Callable[[Data, Store], Path]] = {  # sources whose images the harness makes: the folder of each
    "phantom": lambda spec, store: phantom_path(spec.phantom, store), "digits": lambda _, store: digits_path(store),
}  # fmt: skip


def missing_images(spec: Data, store: Store) -> str | None:
    """Why the images cannot be read, where they are neither here nor made or downloaded by their source; else None."""
    if spec.source in DRAWN or (spec.source == "kermany" and spec.path is None) or images_at_hand(spec, store):
        return None
    path = named_root(spec) if spec.source != "npz" else spec.path
    return "no path is given" if spec.path is None else f"{printable(str(path))} is not there"
