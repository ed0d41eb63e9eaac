"""Pictures of images in a report, as the network saw them: small in the page, which enlarges them."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from PIL import Image

from harness.data.pictures import PictureOf
from harness.errors import attempt
from harness.report.tables.export import escaped, markdown, rounded

FOLDER = "thumbnails"
MIN_PIXELS, MAX_PIXELS = 112, 512  # of the height: between them it is that of the study's own images
NO_BRACKETS = str.maketrans("[]", "()")  # they would end the text of an image in Markdown


def thumbnail_links(
    rows: Iterable[int], words: Iterable[str], picture_of: PictureOf, folder: Path, name: str
) -> list[str]:
    """Write pictures NAME-01.jpg, ... of these rows of the manifest, and return their links in Markdown.

    words: what each picture shows, for those who do not see it.
    """
    links = []
    (folder / FOLDER).mkdir(exist_ok=True)
    for number, (row, alt) in enumerate(zip(rows, words, strict=True), start=1):
        path = folder / FOLDER / f"{name}-{number:02}.jpg"
        attempt(f"no thumbnail {path.stem}", path.with_suffix(".txt"), partial(_thumbnail, picture_of, row, path))
        links.append(f"![{escaped(alt.translate(NO_BRACKETS))}]({FOLDER}/{path.name})")
    return links


def pictured(table: pd.DataFrame, links: Sequence[str]) -> list[str]:
    """The lines of the rounded table in Markdown, with a picture before each row: a gallery in the page."""
    head, rule, *body = markdown(rounded(table).fillna(""))
    return [f"| {head}", f"|---{rule}", *(f"| {link} {line}" for link, line in zip(links, body, strict=True)), ""]


def _thumbnail(picture_of: PictureOf, row: int, path: Path) -> None:
    """Write an image of the manifest as a JPEG."""
    shown = picture_of(row)  # [channels, height, width]
    image = Image.fromarray(shown[0] if len(shown) == 1 else shown.transpose(1, 2, 0))
    height = min(max(image.height, MIN_PIXELS), MAX_PIXELS)
    if height != image.height:
        image = image.resize((round(image.width * height / image.height), height), Image.Resampling.BICUBIC)
    image.save(path, quality=80)
