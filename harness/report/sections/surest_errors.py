"""The most confident errors of a model, as pictures: where to look first for wrong labels and blind spots."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from harness.data.pixels import open_pixels
from harness.errors import attempt
from harness.report.numbers.marks import marked
from harness.report.numbers.predictions import arrays, by_repeat
from harness.report.tables.export import export_table

SHOWN = 12
THUMBNAILS = "thumbnails"
SIDE = 112  # pixels of a thumbnail


def confident_errors(frame: pd.DataFrame, most: int = SHOWN) -> pd.DataFrame:
    """The images that were called wrongly, the surest first: image, patient, true class, called class, probability.

    Without the patient where each image counts as one. Of several repeats those first that most of them called wrongly.
    """
    parts = by_repeat(frame)
    wrong, keys = pd.concat([_errors(part) for part in parts], ignore_index=True), ["probability"]
    if len(parts) > 1:
        wrong, keys = _commonest(wrong), ["repeats wrong", "probability"]
    ascending = [*(False for _ in keys), True]
    return wrong.sort_values([*keys, "image"], ascending=ascending).head(most).reset_index(drop=True)


def _commonest(wrong: pd.DataFrame) -> pd.DataFrame:
    """Each image once: how many repeats called it wrongly, what most of them called, and their mean probability."""
    wrong = wrong.assign(times=wrong.groupby("image")["image"].transform("size"))
    same = wrong.groupby([key for key in wrong if key != "probability"], as_index=False, sort=False)
    calls = same.agg(probability=("probability", "mean"), alike=("image", "size"))
    calls = calls.sort_values("alike", ascending=False, kind="stable").drop_duplicates("image")
    return calls.drop(columns="alike").rename(columns={"times": "repeats wrong"})


def _errors(frame: pd.DataFrame) -> pd.DataFrame:
    """The images that one repeat called wrongly."""
    classes, probabilities, labels = arrays(frame)
    called = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "image": frame["image"].to_numpy(),
            "patient": frame["patient"].to_numpy(),
            "true": frame["label"].to_numpy(),
            "called": np.array(classes)[called],
            "probability": probabilities.max(axis=1),
        }
    )
    if (table["patient"] == table["image"]).all():
        table = table.drop(columns="patient")
    wrong: pd.DataFrame = table[called != labels]
    return wrong


def error_lines(
    frame: pd.DataFrame, images: pd.Series, pixels: Path, folder: Path, name: str, mark: str | None
) -> list[str]:
    """The most confident errors in Markdown, with thumbnails; NAME.csv and the pictures are written to the folder.

    images: the manifest's, in the order of the pixel file.
    """
    table = marked(confident_errors(frame), mark)
    if not len(table):
        return ["No image was called wrongly.", ""]
    rows = pd.Series(range(len(images)), index=images)
    links = []
    (folder / THUMBNAILS).mkdir(exist_ok=True)
    for number, image in enumerate(table["image"], start=1):
        path = folder / THUMBNAILS / f"{name}-{number:02}.jpg"
        draw = partial(_thumbnail, pixels, rows[image], path)
        attempt(f"no thumbnail {path.stem}", path.with_suffix(".txt"), draw)
        links.append(f"![{number}]({THUMBNAILS}/{path.name})")
    lines = export_table(table, folder, name)
    head, rule, *body = lines[:-1]
    pictured = [f"| {link} {line}" for link, line in zip(links, body, strict=True)]
    words = f"{_how_many(frame)}; the {len(table)} surest of these errors:"
    return [words, "", f"| {head}", f"|---{rule}", *pictured, ""]


def _how_many(frame: pd.DataFrame) -> str:
    """How many images were called wrongly, of several repeats on average."""
    parts = by_repeat(frame)
    wrong = sum(len(_errors(part)) for part in parts)
    if len(parts) == 1:
        return f"{wrong} of {len(parts[0])} images were called wrongly"
    return f"In the mean of {len(parts)} repeats {wrong / len(parts):.1f} of {len(parts[0])} images were called wrongly"


def _thumbnail(pixels: Path, row: int, path: Path) -> None:
    """Writes an image of the pixel file as a small JPEG, as the network saw it."""
    shown = open_pixels(pixels)[row]  # [channels, height, width]
    image = Image.fromarray(shown[0] if len(shown) == 1 else shown.transpose(1, 2, 0))
    image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=80)
