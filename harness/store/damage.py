"""What is damaged in a store, as after a copy that was cut off. Reads only, and no large file whole."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.errors import described
from harness.store.reports import SEARCH_FILE
from harness.store.results import FoldRecord
from harness.store.store import Store

Damage = dict[str, str]  # path in the store -> what is wrong


def damaged_results(store: Store) -> Damage:
    """The parts of finished fits that cannot be read."""
    folders = [folder for folder in sorted(store.jobs.glob("[!.]*")) if folder.is_dir()]
    return {
        **_damage(store, (folder / "result.json" for folder in folders), _read_record),
        **_damage(store, (folder / "predictions.parquet" for folder in folders), _read_table_end),
        **_damage(store, sorted(store.jobs.glob("[!.]*/predictions-*.parquet")), _read_table_end),
        **_damage(store, sorted(store.jobs.glob("[!.]*/*.safetensors")), _check_weights),
    }


def damaged_cache(store: Store) -> Damage:
    """The cached files that cannot be read."""
    return {
        **_damage(store, _finished(store.root / "cache", ".json"), _read_json),
        **_damage(store, _finished(store.root / "cache", ".npy"), _map_array),
    }


def damaged_reports(store: Store) -> Damage:
    """The reports whose numbers cannot be read, or that lack their page."""
    numbers = sorted(store.reports.glob("[!.]*/statistics.json"))
    return {
        **_damage(store, [*numbers, *sorted(store.reports.glob(f"[!.]*/{SEARCH_FILE}"))], _read_json),
        **_damage(store, [file.with_name("index.html") for file in numbers], Path.stat),
    }


def _finished(folder: Path, ending: str) -> list[Path]:
    """The files with this ending, without those that are being written."""
    found = sorted(folder.rglob(f"*{ending}"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _damage(store: Store, paths: Iterable[Path], check: Callable[[Path], object]) -> Damage:
    """What the check raises for each path that fails it."""
    found = Damage()
    for path in paths:
        try:
            check(path)
        except Exception as error:  # of whatever kind the reader of a damaged file raises
            found[str(path.relative_to(store.root))] = described(error)
    return found


def _read_json(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_record(path: Path) -> object:
    return FoldRecord.from_json(json.loads(path.read_text(encoding="utf-8")))


def _map_array(path: Path) -> object:
    """Map a NumPy file, which must be as long as its head says."""
    import numpy as np

    return np.load(path, mmap_mode="r")


def _read_table_end(path: Path) -> object:
    """Read the end of a parquet file, which says what is in it."""
    from pyarrow.parquet import read_metadata

    return read_metadata(path)


def _check_weights(path: Path) -> None:
    """Compare the size of a safetensors file with what its head says."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(length))
    size = 8 + length + max((t["data_offsets"][1] for name, t in head.items() if name != "__metadata__"), default=0)
    if path.stat().st_size != size:
        raise ValueError(f"{path.stat().st_size:,} bytes of {size:,}")
