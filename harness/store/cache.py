"""The cache of a store: decoded pixels, features of frozen backbones, folds, audits, probes. Safe to delete."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BusyError
from harness.store.files import NEW_PREFIX
from harness.store.holders import read_holder
from harness.store.store import Store


@dataclass(frozen=True)
class CacheEntry:
    """A cached file or folder, its size in bytes, and a description of what it contains."""

    kind: str
    path: Path
    size: int
    text: str


def entries(store: Store) -> list[CacheEntry]:
    """Everything in the cache of a store, by kind, the largest first."""
    found = [_entry(folder.stem, path) for folder in _finished(store.root / "cache") for path in _parts(folder)]
    return sorted(found, key=lambda entry: (entry.kind, -entry.size))


def clear(store: Store, kind: str | None = None) -> list[CacheEntry]:
    """Remove the entries of this kind, or all, and return them. Raises BusyError while a study runs in the store."""
    for holder in sorted(store.locks.glob("*.json")):
        who = read_holder(holder)
        if who is not None:
            raise BusyError(
                f"study {holder.stem} is running in {store.root}: process {who['pid']} on {who['host']};"
                " clear the cache when it is done"
            )
    removed = [entry for entry in entries(store) if kind in (None, entry.kind)]
    for entry in removed:
        if entry.path.is_dir():
            shutil.rmtree(entry.path)
        else:
            entry.path.unlink()
    return removed


def size_of(path: Path) -> int:
    """The size in bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def _finished(folder: Path) -> Iterator[Path]:
    """The complete files and folders in a folder of the cache: no locks, nothing half-written."""
    return (path for path in folder.glob("*") if not path.name.startswith((NEW_PREFIX, ".")))


def _parts(path: Path) -> Iterator[Path]:
    return _finished(path) if path.is_dir() else iter((path,))


def _entry(kind: str, path: Path) -> CacheEntry:
    return CacheEntry(kind, path, size_of(path), _features(path) if kind == "features" else path.stem)


def _features(path: Path) -> str:
    about = json.loads((path / "about.json").read_text(encoding="utf-8"))
    return "{images:,} images of {image_size} px through {backbone} on {device} in {precision}".format(**about)
