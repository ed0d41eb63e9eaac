"""Small studies of probes on a frozen network, run in seconds, to be compared."""

from contextlib import closing
from pathlib import Path

from harness.data.record import write_record
from harness.execution.compute import AUTO, Compute
from harness.execution.fitter import Fitter, make_context
from harness.execution.make import executor_for
from harness.execution.progress import Reporter
from harness.prepare import prepare
from harness.store import Store
from harness.study import load_study
from tests.conftest import draw_patients

STUDY = """\
study: {name}
data: {{source: folder, path: {images}, image_size: 32, positive: {positive}, patient: '^(?P<patient>[^-]+)-'{data}}}
folds: {{k: 3, seed: {seed}}}
base: {{backbone: test_resnet, weights: none, trainable: head, epochs: 1, learning_rate: {rate}}}
stages: [{{name: heads, grid: {{head: [{heads}]}}, select: {select}}}]
{more}
"""


def write_images(root: Path, first: int = 0) -> Path:
    """24 training and 12 test images, two of each patient, each drawn from a seed of its own from `first` on."""
    return draw_patients(root, {"train/A": 12, "train/B": 12, "test/A": 6, "test/B": 6}, first)


def study_text(name: str, images: Path, heads: str = "logistic, knn", **given: str) -> str:
    """The text of a study of these heads on these images.

    given: seed (of the folds), rate, metric, select, positive, data (further keys), more (further lines).
    """
    plain = {"seed": "0", "rate": "1.0e-3", "positive": "B", "data": "", "more": ""}
    plain["select"] = f"{{metric: {given.pop('metric', 'val/accuracy')}}}"
    return STUDY.format(name=name, images=images, heads=heads, **plain | given)


def ran(folder: Path, store: Store, text: str, fits: int | None = None) -> None:
    """Fit the study of this text in the store, its test too, without MLflow and a report.

    fits: only so many of its first stage, and no test, as if it had been stopped.
    """
    file = folder / f"{text.split()[1]}.yaml"
    file.write_text(text, encoding="utf-8")
    workspace = prepare(load_study(file), store)
    write_record(workspace)
    context = make_context(workspace, "cpu", Reporter().counting, AUTO)
    executor, _ = executor_for(workspace, workspace.reader.read(), Compute("inline"), "cpu", print)
    with closing(executor):
        fitter = Fitter(workspace.ledger, context, executor, [])
        fitter.run(workspace.reader.read().stages[0].missing[:fits])
        if fits is not None:
            return
        fitter.run([job for test in workspace.reader.read().tests for job in test.missing])
