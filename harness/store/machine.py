"""The ledger of looks of this user on this machine: outside every store, so that it survives their deletion.

It is in the folder for the state of programs (`XDG_STATE_HOME`). Where that cannot be read and written, a store's own
ledger is all there is: nothing here ever raises an error.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.store.chain import HASH, Content, read_content, rendered
from harness.store.files import write_atomic

IMAGES = "images.json"
DIGITS = 16  # of a hash in a file name
STORE_FILE = "store.json"  # of a store: its id


def image_hashes(images: Collection[str]) -> bytes:
    """The hashes of images, shortened to 16 digits and sorted, as the content of a file."""
    return json.dumps(sorted({image[:DIGITS] for image in images})).encode()


def read_hashes(path: Path) -> frozenset[str]:
    """The content of a file with hashes of images; empty where it cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        return frozenset(map(str, json.loads(path.read_bytes())))
    return frozenset()


@dataclass(frozen=True)
class MachineLook:
    """A look that a store on this machine has recorded. place: the folder of that store at that time."""

    content: Content
    images: frozenset[str]
    place: Path


class MachineLooks:
    """The looks of all stores of this user on this machine, one small file each."""

    def __init__(self) -> None:
        from platformdirs import user_state_path

        self.root = user_state_path("harness") / "looks"

    @property
    def usable(self) -> bool:
        """Whether looks can be recorded here and read again."""
        with suppress(OSError):
            there = next(path for path in (self.root, *self.root.parents) if path.exists())
            return self.root.is_absolute() and there.is_dir() and os.access(there, os.R_OK | os.W_OK | os.X_OK)
        return False

    def add(self, images: Collection[str], look: Content, place: Path) -> None:
        """Record an entry of a store's ledger; the same one from the same place counts once."""
        hashes = image_hashes(images)
        folder = self.root / _digest(hashes)
        file = folder / f"{look['store']}-{look[HASH][:DIGITS]}-{_digest(os.fsencode(place))}.json"
        with suppress(OSError):
            if self.usable and not file.exists():
                write_atomic(folder / IMAGES, hashes)
                write_atomic(file, rendered({"look": look, "place": os.fsdecode(place)}))

    def looks(self) -> Iterator[MachineLook]:
        """Every look that can be read."""
        if not self.usable:
            return
        for folder in sorted(self.root.glob("*")):
            images = read_hashes(folder / IMAGES)
            for path in sorted(folder.glob("*-*.json")):
                found = read_content(path) or {}
                look, place = found.get("look"), found.get("place")
                if isinstance(look, dict) and isinstance(place, str) and {"store", "file", HASH} <= look.keys():
                    yield MachineLook(look, images, Path(place))


def count_stores(places: Iterable[tuple[str, Path]]) -> int:
    """The number of stores, by their ids and folders: a moved one counts once, a copy where both are still there."""
    folders: dict[str, set[Path]] = defaultdict(set)
    for store_id, place in places:
        folders[store_id].add(place)
    return sum(max(1, sum(is_store(place, name) for place in found)) for name, found in folders.items())


def is_store(place: Path, store_id: str) -> bool:
    """Whether the store with this id is in this folder."""
    return (read_content(place / STORE_FILE) or {}).get("id") == store_id


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
