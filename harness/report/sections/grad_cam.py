"""Grad-CAM maps of the chosen model for some test images, with what they do not say."""

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from harness.data.inputs import Workspace
from harness.data.pictures import PictureOf, picture
from harness.errors import attempt, failure
from harness.report.figures.drawing import drawn, named, save, titled
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
    lines = [f"![Grad-CAM of test images, {_side(path)}]({path.name})" for path in paths]
    why = failure(log) or failure(explanations_log(workspace.store, job.id))
    unregistered = failure(unregistered_log(workspace.store, job.id))
    shown = [EXPLANATION, "", *lines, ""] if lines else [f"{escaped(why)}.", ""] if why else []
    return [
        *(["### Where the model looked", "", *shown] if shown else []),
        *([f"{escaped(unregistered)}.", ""] if unregistered else []),
    ]


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
