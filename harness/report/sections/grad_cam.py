"""Grad-CAM maps of the chosen model for some test images, with what they do not say."""

from functools import partial
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from harness.data.decode import Pixels
from harness.data.inputs import Workspace
from harness.data.pictures import PictureOf, picture
from harness.errors import attempt, failure
from harness.report.figures.drawing import drawn, named, save, titled
from harness.report.sections.thumbnails import pictured, thumbnail_links
from harness.report.tables.export import escaped
from harness.store.explanations import (
    GRAD_CAM_WARNING,
    Explanations,
    explanations_file,
    explanations_log,
    unregistered_log,
)
from harness.study.plan import Job

EXPLANATION = (
    "Grad-CAM of the last feature map, for the predicted class: the brighter a place, the more it raised that class's"
    " score, relative to the brightest place of the same image; in an all-dark image no place did. It shows where the"
    " network looked, at the resolution of that map, not why, and not whether the place has a medical meaning. With a"
    " flatten head, which weighs each place separately, Grad-CAM's average over places is a rougher approximation."
    " The images were sampled at random (fixed seed) from the correct and the wrong predictions; nothing was chosen by"
    " them."
)


def explanation_lines(job: Job, workspace: Workspace, folder: Path, mark: str | None = None) -> list[str]:
    """Draw the figures of a job's maps into `folder`, and return the section in Markdown, or why there are no maps.

    Empty where no maps were asked for.
    """
    paths: list[Path] = []
    log = folder / f"grad-cam-{job.scenario.id}.txt"
    attempt(GRAD_CAM_WARNING, log, lambda: paths.extend(explanation_figures(job, workspace, folder, mark)))
    lines = map_lines(job, workspace, folder, mark) if paths else []
    why = failure(log) or failure(explanations_log(workspace.store, job.id))
    unregistered = failure(unregistered_log(workspace.store, job.id))
    shown = [EXPLANATION, "", *lines, ""] if lines else [f"{escaped(why)}.", ""] if why else []
    return [
        *(["### Where the model looked", "", *shown] if shown else []),
        *([f"{escaped(unregistered)}.", ""] if unregistered else []),
    ]


def map_lines(job: Job, workspace: Workspace, folder: Path, mark: str | None) -> list[str]:
    """Write a picture of each map next to its image, and return their tables in Markdown, correct predictions first."""
    found = Explanations.load(explanations_file(workspace.store, job.id))
    assert found is not None
    dataset = workspace.inputs.dataset
    table = pd.DataFrame(
        {
            "image": dataset.table["image"].to_numpy()[found.rows],
            "true": found.true,
            "predicted": found.called,
            "probability": found.probability,
        }
    )
    picture_of = partial(_beside, found, partial(picture, dataset, job.scenario.settings.framing, workspace.store))
    lines = [f"*{escaped(mark)}*", ""] if mark else []
    for side, words in (
        (table["true"] == table["predicted"], "Correct"),
        (table["true"] != table["predicted"], "Wrong"),
    ):
        part, name = table[side], f"grad-cam-{job.scenario.id}-{words.lower()}"
        if len(part):
            alts = (f"{e.image} and its Grad-CAM: true {e.true}, predicted {e.predicted}" for e in part.itertuples())
            links = thumbnail_links(part.index, alts, picture_of, folder, name)
            lines += [f"{words} predictions; the image, and the image under its map:", "", *pictured(part, links)]
    return lines


def _beside(found: Explanations, picture_of: PictureOf, index: int) -> Pixels:
    """The pixels [3, height, 2 x width] of an image, next to the same image under its map."""
    image = picture_of(int(found.rows[index]))
    shown = np.repeat(image, 3, axis=0) if len(image) == 1 else image
    size = (image.shape[2], image.shape[1])
    scaled = np.asarray(Image.fromarray(found.maps[index]).resize(size, Image.Resampling.BILINEAR))
    colours = matplotlib.colormaps["inferno"](scaled)[..., :3].transpose(2, 0, 1) * 255
    return np.concatenate([shown, (0.5 * shown + 0.5 * colours).round().astype(np.uint8)], axis=2)


def explanation_figures(job: Job, workspace: Workspace, folder: Path, mark: str | None = None) -> list[Path]:
    """Draw a job's maps, one figure of correct and one of wrong predictions; empty where there are no maps.

    mark: the watermark of results on the test set.
    """
    found = Explanations.load(explanations_file(workspace.store, job.id))
    if found is None:
        return []
    dataset = workspace.inputs.dataset
    picture_of = partial(picture, dataset, job.scenario.settings.framing, workspace.store)
    paths = []
    for word, side in (("rightly", found.true == found.called), ("wrongly", found.true != found.called)):
        if side.any():
            path = folder / f"grad-cam-{job.scenario.id}-{word}.png"
            title = f"test images, {_side(path)}, {job.scenario.name}"
            paths.append(_figure(found, np.flatnonzero(side), picture_of, title, path, mark))
    return paths


def _side(path: Path) -> str:
    """The words for the images of a figure, from the last word of its file name."""
    return {"rightly": "correct predictions", "wrongly": "wrong predictions"}[path.stem.rsplit("-", 1)[1]]


@drawn
def _figure(
    found: Explanations, chosen: np.ndarray, picture_of: PictureOf, title: str, path: Path, mark: str | None
) -> Path:
    """Draw the images in the upper row, and the same images under their maps in the lower row."""
    figure, axes = plt.subplots(
        2, len(chosen), figsize=(1.7 * max(len(chosen), 3), 4.3), layout="constrained", squeeze=False
    )
    for (above, below), index in zip(axes.T, chosen, strict=True):
        image = picture_of(int(found.rows[index]))
        shown = np.repeat(image, 3, axis=0) if len(image) == 1 else image
        frame = (0, image.shape[2], image.shape[1], 0)
        for axis in (above, below):
            axis.imshow(shown.transpose(1, 2, 0), extent=frame)
            axis.set_axis_off()
        below.imshow(
            found.maps[index], extent=frame, cmap="inferno", vmin=0, vmax=1, alpha=0.5, interpolation="bilinear"
        )
        above.set_title(
            f"true {named(found.true[index])}\npredicted {named(found.called[index])}, {found.probability[index]:.2f}",
            fontsize=7,
        )
    figure.suptitle(titled(title, 100), fontsize=9)
    return save(figure, path, mark=mark)
