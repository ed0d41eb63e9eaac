"""What `new` sees in the images that it is given: their classes and splits, their sizes, and what is not read."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from os.path import normpath
from pathlib import Path
from typing import Any

import pandas as pd

from harness.data.folder import read_folder, require_folder
from harness.data.folder_layout import FLAT_WORDS, nearest_image_folder
from harness.data.hashes import Homes
from harness.data.headers import header
from harness.data.listing import FLAT, Listing
from harness.data.npz import listed, read_arrays
from harness.data.table import read_table
from harness.data.table_file import ENDINGS, SPREADSHEETS
from harness.data.table_guesses import guess_columns
from harness.errors import DataError, printable
from harness.study.data_block import Data

NO_SIZE = "cannot be read"


@dataclass(frozen=True)
class FirstLook:
    """The images as a study will find them.

    images: the columns image, split and label; of a table what the study reads of it. sizes: the end of a sentence
    about the images. notes: what the user must know, such as the files that are not read. fields: more of `data`.
    """

    source: str
    path: Path
    images: pd.DataFrame
    sizes: str
    notes: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path | None:
        """The folder in which the paths of the images start; None of an .npz file."""
        if self.source == "npz":
            return None
        return self.path if self.source == "folder" else Path(self.fields.get("root", self.path.parent))

    @property
    def counts(self) -> Counter[str]:
        """The number of training images of each class."""
        return Counter(self.images.loc[self.images["split"] == "train", "label"])

    @property
    def has_test(self) -> bool:
        """Whether some images are a test set."""
        return bool((self.images["split"] == "test").any())


def first_look(data: Path) -> FirstLook:
    """Find the images in `data`: a folder, a table or an .npz file. Raises DataError, also for one class alone."""
    if data.suffix.lower() in (*ENDINGS, *SPREADSHEETS) and not data.is_dir():
        look = _table(data)
    else:
        look = _npz(data) if data.is_file() and data.suffix.lower() == ".npz" else _folder(data)
    if len(look.counts) < 2:
        raise DataError(f"{printable(str(data))} has the classes {list(look.counts)}; at least two are needed")
    return look


def plain_path(path: Path) -> Path:
    """The absolute path without `..`, unless that leads elsewhere because of a link."""
    absolute = path.absolute()
    plain = Path(normpath(absolute))
    return plain if plain.exists() and plain.samefile(absolute) else absolute


def _table(data: Path) -> FirstLook:
    if not data.is_file():
        raise DataError(f"{printable(str(data))} is not there; name a table of images, or their folder")
    guess = guess_columns(data)
    fields: dict[str, Any] = {"columns": {role: found.column for role, found in guess.columns.items()}}
    if guess.root != data.parent:
        fields = {"root": str(plain_path(guess.root)), **fields}
    if guess.metadata:
        fields["metadata"] = list(guess.metadata)
    if guess.spellings:
        fields["labels"] = dict(guess.spellings)
    listing = read_table(Data.model_validate({"source": "table", "path": str(data), **fields}), guess.root)
    images = listing.images
    train = images.loc[images["split"] == "train", "image"].tolist()
    notes = (*guess.notes, *map(str, listing.left_out))
    return FirstLook("table", data, images, _sizes(guess.root, train), notes, fields)


def _npz(data: Path) -> FirstLook:
    arrays = read_arrays(data)
    images, of_val = listed(arrays), next((len(array.labels) for array in arrays if array.name == "val"), 0)
    height, width = arrays[0].size
    sizes = {array.size for array in arrays}
    said = [f"source npz, from the arrays {', '.join(f'{array.name}_images' for array in arrays)} of {data.name}"]
    if of_val:
        said.append(f"not read: the {of_val:,} images of val_images; `val: train` adds them to the training images")
    more = f" and of {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
    return FirstLook("npz", data, images[images["split"] != "val"], f"are {width} x {height}{more}", tuple(said))


def _folder(data: Path) -> FirstLook:
    require_folder(data, str(data))
    root = nearest_image_folder(data)
    listing, fields = read_folder(root), dict[str, Any]()
    said = [] if root == data else [f"images of {root}, the one image folder in {data}"]
    said += [FLAT_WORDS] if listing.depth == FLAT else []
    outside = _links_out(root, listing)
    if outside:
        listing, fields = read_folder(root, follow=True), {"links": "follow"}
        said.append(f"links: follow, as {len(outside):,} lead out of the image folder, such as {printable(outside[0])}")
    images = listing.images
    train = images.loc[images["split"] == "train", "image"].tolist()
    return FirstLook("folder", root, images, _sizes(root, train), (*said, *map(str, listing.left_out)), fields)


def _links_out(root: Path, listing: Listing) -> list[str]:
    """The links in class folders that need `links: follow`: those to folders, and out of the image folder."""
    links = [image for image in listing.images["image"] if (root / image).is_symlink()]
    return [image for image in links if (root / image).is_dir() or not Homes(root, listing.depth).hold(image)]


def _sizes(data: Path, images: list[str]) -> str:
    sizes: Counter[tuple[int, int]] = Counter()
    for image in islice(images, 0, None, max(1, len(images) // 50)):
        with suppress(Exception):  # `plan` names the broken ones
            sizes[header(data / image)[:2]] += 1
    if not sizes:
        return NO_SIZE
    (width, height), times = sizes.most_common(1)[0]
    return f"are {width} x {height}" + ("" if times == sizes.total() else f" and of {len(sizes) - 1} other sizes")
