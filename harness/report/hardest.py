"""The most confident errors of a model, as pictures: where to look first for wrong labels and blind spots."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from harness.data.cache import open_pixels
from harness.report.export import export_table
from harness.report.marks import marked
from harness.report.tables import arrays

SHOWN = 12
THUMBNAILS = "thumbnails"
SIDE = 112  # pixels of a thumbnail


def confident_errors(frame: pd.DataFrame, most: int = SHOWN) -> pd.DataFrame:
    """The images that were called wrongly, the surest first: image, patient, true class, called class, probability.

    Without the patient where each image counts as one.
    """
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
    return wrong.sort_values(["probability", "image"], ascending=[False, True]).head(most).reset_index(drop=True)


def error_lines(
    frame: pd.DataFrame, images: pd.Series, pixels: Path, folder: Path, name: str, mark: str | None
) -> list[str]:
    """The most confident errors in Markdown, with thumbnails; NAME.csv and the pictures are written to the folder.

    images: the manifest's, in the order of the pixel file.
    """
    table = marked(confident_errors(frame), mark)
    wrong = int((arrays(frame)[1].argmax(axis=1) != arrays(frame)[2]).sum())
    if not wrong:
        return ["No image was called wrongly.", ""]
    rows = pd.Series(range(len(images)), index=images)
    stored = open_pixels(pixels)
    links = []
    (folder / THUMBNAILS).mkdir(exist_ok=True)
    for number, image in enumerate(table["image"]):
        file = f"{THUMBNAILS}/{name}-{number + 1:02}.jpg"
        _thumbnail(stored[rows[image]], folder / file)
        links.append(f"![{number + 1}]({file})")
    lines = export_table(table, folder, name)
    head, rule, *body = lines[:-1]
    pictured = [f"| {link} {line}" for link, line in zip(links, body, strict=True)]
    words = f"{wrong} of {len(frame)} images were called wrongly; the {len(table)} surest of these errors:"
    return [words, "", f"| {head}", f"|---{rule}", *pictured, ""]


def _thumbnail(pixels: np.ndarray, path: Path) -> None:
    """Writes the image [channels, height, width] as a small JPEG, as the network saw it."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=80)
