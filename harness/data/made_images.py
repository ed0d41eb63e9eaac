"""Folders of images that the harness makes itself, drawn or unpacked: where they are, and their last step to there."""

from pathlib import Path

from harness.store import Store


def made_path(store: Store, name: str) -> Path:
    """The folder of this name; a temporary one where the store lacks it and is read-only."""
    folder = store.data / name
    return folder if store.writable or folder.is_dir() else store.temporary / name


def put_in_place(folder: Path, target: Path) -> None:
    """Rename a finished folder to `target`, unless another command has made the same images there meanwhile."""
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
