"""The images of a study in another folder, found by their hashes, wherever they lie in it and whatever their names."""

import os
from dataclasses import replace
from pathlib import Path

from harness.data.dataset import Dataset
from harness.data.folder import require_folder
from harness.errors import DataError
from harness.store.files import sha256_of
from harness.study.number_words import is_are


def found_by_hash(dataset: Dataset, folder: Path, links: Path) -> Dataset:
    """The dataset with its images in `folder`. links: an empty folder, which gets a link to each image.

    Raises DataError where an image is not there.
    """
    require_folder(folder, str(folder))
    sizes, found = set(dataset.table["size"]), dict[str, Path]()
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in sorted(names)):
            if path.is_file() and path.stat().st_size in sizes:
                found.setdefault(sha256_of(path), path.absolute())
    table = dataset.table[["image", "sha256"]].to_numpy().tolist()
    missing = [image for image, digest in table if digest not in found]
    if missing:
        raise DataError(
            f"{len(missing):,} of the study's {len(table):,} images {is_are(len(missing))} not in {folder}, such as"
            f" {missing[0]}: no file there has its hash; name the folder that has them all, anywhere below it"
        )
    for image, digest in table:
        (links / image).parent.mkdir(parents=True, exist_ok=True)
        (links / image).symlink_to(found[digest])
    return replace(dataset, root=links, set_roots={})
