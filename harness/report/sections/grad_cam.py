"""Where the chosen model looked in some test images: Grad-CAM maps as pictures, with what they do not say."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from harness.data.decode import Pixels
from harness.data.pixels import open_pixels, pixel_cache
from harness.errors import attempt, failure
from harness.prepare import Workspace
from harness.report.figures.drawing import drawn, named, save, titled
from harness.report.tables.export import escaped
from harness.store.explanations import Explanations, explanations_file, explanations_log, unregistered_log
from harness.study.plan import Job

LOSS = "no Grad-CAM"  # what is said first where it fails
WORDS = (
    "Grad-CAM of the last feature map, for the class that was called: the brighter, the more a place raised that"
    " class's score, relative to the brightest place of the same image; all dark, no place did. It shows where the"
    " network looked, as coarsely as that map is, not why, and not whether the place has a medical meaning. With a"
    " flatten head, which weighs each place by itself, the average over places that Grad-CAM takes is rougher."
    " The images were drawn at random (fixed seed) from those called rightly and wrongly; nothing was chosen by them."
)


def explanation_lines(job: Job, workspace: Workspace, folder: Path, mark: str | None = None) -> list[str]:
    """A part in Markdown with the figures of a job's maps, written into `folder`, or why there are no maps.

    Nothing where none were to be made.
    """
    paths: list[Path] = []
    log = folder / f"grad-cam-{job.scenario.id}.txt"
    attempt(LOSS, log, lambda: paths.extend(explanation_figures(job, workspace, folder, mark)))
    lines = [f"![Grad-CAM of test images called {path.stem.rsplit('-', 1)[1]}]({path.name})" for path in paths]
    why = failure(log) or failure(explanations_log(workspace.store, job.id))
    unregistered = failure(unregistered_log(workspace.store, job.id))
    shown = [WORDS, "", *lines, ""] if lines else [f"{escaped(why)}.", ""] if why else []
    return [
        *(["### Where the model looked", "", *shown] if shown else []),
        *([f"{escaped(unregistered)}.", ""] if unregistered else []),
    ]


def explanation_figures(job: Job, workspace: Workspace, folder: Path, mark: str | None = None) -> list[Path]:
    """The figures of a job's maps, those called rightly and those called wrongly; none where there are no maps.

    mark: the watermark of what is said about the test set.
    """
    found = Explanations.load(explanations_file(workspace.store, job.id))
    if found is None:
        return []
    dataset = workspace.inputs.dataset
    pixels = open_pixels(pixel_cache(dataset, job.scenario.settings.image_size, workspace.store))
    paths = []
    for word, side in (("rightly", found.true == found.called), ("wrongly", found.true != found.called)):
        if side.any():
            path = folder / f"grad-cam-{job.scenario.id}-{word}.png"
            title = f"test images called {word}, {job.scenario.name}{dataset.mark}"
            paths.append(_figure(found, np.flatnonzero(side), pixels, title, path, mark))
    return paths


@drawn
def _figure(found: Explanations, chosen: np.ndarray, pixels: Pixels, title: str, path: Path, mark: str | None) -> Path:
    """The images above, the same under their maps below."""
    figure, axes = plt.subplots(
        2, len(chosen), figsize=(1.7 * max(len(chosen), 3), 4.3), layout="constrained", squeeze=False
    )
    for (above, below), index in zip(axes.T, chosen, strict=True):
        image = pixels[found.rows[index]]
        shown = np.repeat(image, 3, axis=0) if len(image) == 1 else image
        frame = (0, image.shape[2], image.shape[1], 0)
        for axis in (above, below):
            axis.imshow(shown.transpose(1, 2, 0), extent=frame)
            axis.set_axis_off()
        below.imshow(
            found.maps[index], extent=frame, cmap="inferno", vmin=0, vmax=1, alpha=0.5, interpolation="bilinear"
        )
        above.set_title(
            f"true {named(found.true[index])}\ncalled {named(found.called[index])}, {found.probability[index]:.2f}",
            fontsize=7,
        )
    figure.suptitle(titled(title, 100), fontsize=9)
    return save(figure, path, mark=mark)
