"""The most confident errors of a model, as pictures: check these first for wrong labels and blind spots."""

from pathlib import Path

import numpy as np
import pandas as pd

from harness.data.pictures import PictureOf
from harness.report.numbers.marks import marked
from harness.report.numbers.predictions import by_repeat
from harness.report.sections.thumbnails import pictured, thumbnail_links
from harness.report.tables.export import escaped, export_table, write_table
from harness.stats.arrays import arrays
from harness.study.number_words import verb

MAX_ERRORS = 12


def confident_errors(frame: pd.DataFrame, most: int = MAX_ERRORS) -> pd.DataFrame:
    """The wrongly classified images, the surest first.

    Columns: image, patient, true and predicted class (`true`, `predicted`), probability of the predicted class. Without
    the patient where each image counts as one. With several repeats, the images that most repeats got wrong come first.
    """
    parts = by_repeat(frame)
    wrong, keys = pd.concat([_errors(part) for part in parts], ignore_index=True), ["probability"]
    if len(parts) > 1:
        wrong, keys = _commonest(wrong), ["repeats wrong", "probability"]
    ascending = [*(False for _ in keys), True]
    return wrong.sort_values([*keys, "image"], ascending=ascending).head(most).reset_index(drop=True)


def _commonest(wrong: pd.DataFrame) -> pd.DataFrame:
    """Each image once: in how many repeats it was wrong, their most frequent prediction, and its mean probability."""
    wrong = wrong.assign(times=wrong.groupby("image")["image"].transform("size"))
    same = wrong.groupby([key for key in wrong if key != "probability"], as_index=False, sort=False)
    predictions = same.agg(probability=("probability", "mean"), alike=("image", "size"))
    predictions = predictions.sort_values("alike", ascending=False, kind="stable").drop_duplicates("image")
    return predictions.drop(columns="alike").rename(columns={"times": "repeats wrong"})


def _errors(frame: pd.DataFrame) -> pd.DataFrame:
    """The images that one repeat classified wrongly."""
    classes, probabilities, labels = arrays(frame)
    predicted = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "image": frame["image"].to_numpy(),
            "patient": frame["patient"].to_numpy(),
            "true": frame["label"].to_numpy(),
            "predicted": np.array(classes)[predicted],
            "probability": probabilities.max(axis=1),
        }
    )
    if (table["patient"] == table["image"]).all():
        table = table.drop(columns="patient")
    wrong: pd.DataFrame = table[predicted != labels]
    return wrong


def error_lines(
    frame: pd.DataFrame, images: pd.Series, picture_of: PictureOf, folder: Path, name: str, mark: str | None
) -> list[str]:
    """Write NAME.csv and thumbnails of the most confident errors to the folder, and return their table in Markdown.

    images: those of the manifest, in its order.
    """
    table = confident_errors(frame)
    if not len(table):
        return ["No image was classified wrongly.", ""]
    rows = pd.Series(range(len(images)), index=images)
    words = (f"{e.image}: true {e.true}, predicted {e.predicted}" for e in table.itertuples())
    links = thumbnail_links((rows[image] for image in table["image"]), words, picture_of, folder, name)
    write_table(marked(table, mark), folder, name)
    said = f"{_how_many(frame)}; the {len(table)} surest of these errors:"
    caption = [f"*{escaped(mark)}*", ""] if mark else []
    return [said, "", *caption, *pictured(table, links)]


def patient_error_lines(frame: pd.DataFrame, folder: Path, name: str, mark: str | None) -> list[str]:
    """Write NAME.csv of the patients whose class was missed most confidently, and return the table in Markdown."""
    table = confident_errors(frame).rename(columns={"image": "patient"})
    if not len(table):
        return ["No patient was classified wrongly.", ""]
    words = f"{_how_many(frame, 'patients')}; the {len(table)} surest of these errors:"
    return [words, "", *export_table(marked(table, mark), folder, name)]


def _how_many(frame: pd.DataFrame, unit: str = "images") -> str:
    """The sentence on the number of errors; with several repeats, their mean."""
    parts = by_repeat(frame)
    wrong = sum(len(_errors(part)) for part in parts)
    if len(parts) == 1:
        return f"{wrong} of {len(parts[0])} {unit} {verb(wrong, 'was', 'were')} classified wrongly"
    mean = f"{wrong / len(parts):.1f} of {len(parts[0])} {unit}"
    return f"On average over {len(parts)} repeats, {mean} were classified wrongly"
