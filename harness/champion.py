"""The model that a study ends with: packaged, explained, registered. After the test set, and without a choice."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from harness.data.cache import open_pixels
from harness.errors import HarnessError
from harness.explanations import Explanations, explanations_file
from harness.ledger import Ledger
from harness.plan import Job, derive_seed
from harness.prepare import Inputs
from harness.progress import Reporter
from harness.publish import Publisher
from harness.report.tables import arrays
from harness.serving.classifier import Classifier
from harness.serving.explain import grad_cam
from harness.serving.stored import stored_classifier
from harness.stages import ScenarioState
from harness.store import Store
from harness.study import Study
from harness.training.job import Context

EXPLAINED = 6  # images called rightly, and as many called wrongly


def publish_champion(
    study: Study, inputs: Inputs, store: Store, test: ScenarioState, publisher: Publisher, context: Context,
    reporter: Reporter,
) -> None:  # fmt: skip
    """Makes the refitted winner the study's champion in MLflow, with its explanations, unless it is that already.

    Where the weights of its frozen backbone cannot be had any more, it says so and leaves it.
    """
    if publisher.has_champion(test):
        return
    (job,) = test.jobs
    weights = (Ledger(store).path(job.id) / "model.safetensors").read_bytes()
    facts, source = test.records[job.id].facts, inputs.heads.get(job.scenario.settings.head)
    try:
        classifier = stored_classifier(
            job, inputs.dataset, study.study, study.seed, weights, facts, context.device, source
        )
    except HarnessError as error:
        reporter.say(f"the chosen model is not registered: {error}")
        return
    path = explanations_file(store, job.id)
    if not path.exists():
        explain(classifier, job, inputs, context.pixels, store).save(path)
    with TemporaryDirectory() as folder:
        saved = Path(folder, "classifier")  # its name in the MLflow model too
        saved.mkdir()
        classifier.save(saved)
        publisher.publish_champion(test, saved)


def explain(classifier: Classifier, job: Job, inputs: Inputs, pixels: Mapping[int, Path], store: Store) -> Explanations:
    """Grad-CAM for the called class of a fixed sample of right and wrong test images."""
    names, probabilities, labels = arrays(Ledger(store).predictions(job.id))
    called = probabilities.argmax(axis=1)
    sample = _sample(called == labels, derive_seed(job.seed, "explanations"))
    rows = inputs.dataset.rows("test")[sample]
    shown = open_pixels(pixels[job.scenario.settings.image_size or 0])[rows]
    words = np.array(names)
    return Explanations(
        rows=rows,
        maps=grad_cam(classifier, shown, called[sample]),
        true=words[labels[sample]],
        called=words[called[sample]],
        probability=probabilities[sample, called[sample]],
    )


def _sample(right: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """The indices of at most EXPLAINED right and as many wrong predictions, drawn at random, right ones first."""
    random = np.random.default_rng(seed)
    drawn = [random.permutation(np.flatnonzero(side))[:EXPLAINED] for side in (right, ~right)]
    return np.concatenate([np.sort(part) for part in drawn])
