"""Read an image folder: the images of each split and class, and the files that are left out."""

from pathlib import Path
from stat import S_ISDIR
from unicodedata import category, normalize

from harness.data.entries import DirEntry, content_words, entries, image_files, unreadable_folder, visible_folders
from harness.data.folder_layout import EXPECTED, add_other_entries, class_folders, is_flat, split_folder
from harness.data.left_out import Tally
from harness.data.listing import FLAT, IN_SPLITS, FoundImage, Listing, as_frame, visible_name
from harness.data.table_file import ENDINGS
from harness.errors import DataError, printable

SPLITS_OF_SETS = ("train", "val", "test")  # folders that a test set of its own may have, all of them read
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


def read_folder(root: Path, val: str = "ignore", follow: bool = False) -> Listing:
    """List the images in `root` in order, and what is left out.

    They are those of train/CLASS/* and test/CLASS/*; where the folder holds the class folders itself, all are training
    images. val: `train` adds val/ to the training images. follow: whether linked folders in a class are entered.

    Raises DataError where a folder is missing, misspelt or may not be read, and for an empty class.
    """
    inside, left = entries(root), Tally(root)
    flat = is_flat(root, inside)
    images = _flat_images(inside, left, val, follow) if flat else _split_images(inside, left, val, follow)
    depth = FLAT if flat else IN_SPLITS
    _check_names(root, [found.image for found in images])
    if not flat:
        _require_classes(root, images)
    _check_labels(root, images, depth)
    return Listing(as_frame(images), left.left_out, depth)


def read_all_folders(root: Path, follow: bool = False) -> Listing:
    """List every image of a folder, whatever its split: those of train/, val/ and test/, or of its class folders.

    Raises DataError where a folder may not be read, and for an empty class.
    """
    inside, left = entries(root), Tally(root)
    splits = [entry for entry in visible_folders(inside) if entry.name in SPLITS_OF_SETS]
    images: list[FoundImage] = []
    for entry in splits:
        for folder in class_folders(entries(entry), left):
            images += _class_images(folder, entry.name, left, follow)
    if splits:
        add_other_entries([entry for entry in inside if entry.name not in SPLITS_OF_SETS], left)
    else:
        images = _flat_images(inside, left, "ignore", follow)
    if not images:
        raise DataError(f"{printable(str(root))} holds {content_words(inside)}; expected class folders with images")
    depth = IN_SPLITS if splits else FLAT
    _check_names(root, [found.image for found in images])
    _check_labels(root, images, depth)
    return Listing(as_frame(images), left.left_out, depth)


def _split_images(inside: list[DirEntry], left: Tally, val: str, follow: bool) -> list[FoundImage]:
    wanted = {"train": "train", "test": "test"} | ({"val": "train"} if val == "train" else {})
    images: list[FoundImage] = []
    for name, split in wanted.items():
        entry = split_folder(left.root, inside, name)
        for folder in class_folders(entries(entry), left) if entry else ():
            images += _class_images(folder, split, left, follow)
    add_other_entries([entry for entry in inside if entry.name not in wanted], left)
    return images


def _flat_images(inside: list[DirEntry], left: Tally, val: str, follow: bool) -> list[FoundImage]:
    if val == "train":
        split_folder(left.root, inside, "val")  # which is not there
    images: list[FoundImage] = []
    for folder in visible_folders(inside):
        images += _class_images(folder, "train", left, follow, needed=False)
    add_other_entries(inside, left, flat=True)
    return images


def _class_images(folder: DirEntry, split: str, left: Tally, follow: bool, needed: bool = True) -> list[FoundImage]:
    """The images of a class, in order. Raises DataError where there is none.

    needed: whether that holds for any folder; else only for one with files that may be images.
    """
    inside = Tally(left.root)
    paths = sorted(Path(path) for path in image_files(folder, inside, follow))
    if not (paths or needed or "endings" in inside.names):
        left.add("empty-folders", folder.path)
        return []
    left.join(inside)
    if not paths:
        more = "".join(f"; {kind}" for kind in inside.left_out)
        raise DataError(f"class {printable(folder.name)} is empty: {printable(folder.path)} holds no image{more}")
    label = normalize("NFC", folder.name)  # systems write one accent in two ways
    return [FoundImage(path.relative_to(left.root).as_posix(), split, label) for path in paths]


def require_folder(folder: Path, given: str) -> None:
    """Raise DataError where `folder` (`given` by the user) is not a folder, or has a name that is not UTF-8."""
    try:
        found = S_ISDIR(folder.stat().st_mode)
    except PermissionError as error:
        raise unreadable_folder(str(folder), error) from None
    except (OSError, ValueError):
        found = False
    if not found and folder.suffix.lower() in ARCHIVES and folder.is_file():
        raise DataError(f"{printable(given)} is an archive; unpack it, and name the folder that comes out of it")
    if not found:
        raise DataError(f"{printable(given)} is not a folder; {EXPECTED.replace('expected', 'expected one with')}")
    if not _is_utf8(str(folder)):
        raise DataError(f"{printable(str(folder))}: a name on this path is not UTF-8; rename it")


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_names(root: Path, images: list[str]) -> None:
    """Raise DataError for names that are not UTF-8: tables and reports cannot contain them."""
    bad = [image for image in images if not _is_utf8(image)]
    if bad:
        raise DataError(
            f"the names of {len(bad)} of {len(images)} images are not UTF-8, first {printable(bad[0])} in"
            f" {printable(str(root))}; rename them, such as by `convmv -r -f latin1 -t utf8 --notest FOLDER`"
        )


def _require_classes(root: Path, images: list[FoundImage]) -> None:
    """Raise DataError, saying what lies in train/, where it has fewer than two classes."""
    classes = sorted({image.label for image in images if image.split == "train"})
    if len(classes) < 2:
        train = entries(root / "train")
        tables = any(entry.name.lower().endswith(ENDINGS) for entry in [*train, *entries(root)])
        hint = "; a table that says the class of each image is read by `source: table`" if tables else ""
        raise DataError(
            f"{printable(str(root))}/train has the classes {classes}; at least two are needed, a folder for each:"
            f" train/CLASS/*. It holds {content_words(train)}{hint}"
        )


def _check_labels(root: Path, images: list[FoundImage], depth: int) -> None:
    """Raise DataError for classes that look the same in a table, and for a class folder inside another one."""
    for split in SPLITS_OF_SETS:
        found = [image for image in images if image.split == split]
        place = printable(str(root)) if depth == FLAT else f"{printable(str(root))}/{split}"
        labels, seen = sorted({image.label for image in found}), dict[str, str]()
        for label in labels:
            if any(category(character) == "Cc" for character in label):
                raise DataError(f"the class {label!r} of {split}/ has a control character in its name; rename it")
            other = seen.setdefault(visible_name(label), label)
            if other != label:
                raise DataError(
                    f"{place} has the classes {other!r} and {label!r}, which differ only by spaces; merge the folders"
                )
        for image in found:
            parts = image.image.split("/")
            below = normalize("NFC", parts[depth])
            if len(parts) > depth + 1 and below in labels and below != image.label:
                raise DataError(
                    f"{printable(image.image)} is in two classes, {image.label} and {below}; is"
                    f" {'/'.join(parts[: depth + 1])} a copy? Move it out of {image.label}"
                )
