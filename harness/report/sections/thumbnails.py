"""Small pictures of images in a report, as the network saw them."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from PIL import Image

from harness.data.pictures import PictureOf
from harness.errors import attempt

FOLDER = "thumbnails"
THUMBNAIL_PIXELS = 112  # on each side


def thumbnail_links(rows: Iterable[int], picture_of: PictureOf, folder: Path, name: str) -> list[str]:
    """Write thumbnails NAME-01.jpg, ... of these rows of the manifest, and return their links in Markdown."""
    links = []
    (folder / FOLDER).mkdir(exist_ok=True)
    for number, row in enumerate(rows, start=1):
        path = folder / FOLDER / f"{name}-{number:02}.jpg"
        attempt(f"no thumbnail {path.stem}", path.with_suffix(".txt"), partial(_thumbnail, picture_of, row, path))
        links.append(f"![{number}]({FOLDER}/{path.name})")
    return links


def _thumbnail(picture_of: PictureOf, row: int, path: Path) -> None:
    """Write an image of the manifest as a small JPEG."""
    shown = picture_of(row)  # [channels, height, width]
    image = Image.fromarray(shown[0] if len(shown) == 1 else shown.transpose(1, 2, 0))
    image.resize((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BICUBIC).save(path, quality=80)
