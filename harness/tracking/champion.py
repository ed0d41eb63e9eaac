"""The model that a study ends with: packaged, explained and registered, after the test set and without a choice."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.data.inputs import Workspace
from harness.data.pixels import open_pixels
from harness.errors import HarnessError, attempt
from harness.report.numbers.marks import marks_of
from harness.stats.arrays import arrays
from harness.store.explanations import (
    GRAD_CAM_WARNING,
    Explanations,
    explanations_file,
    explanations_log,
    unregistered_log,
)
from harness.study.identity import derive_seed
from harness.study.plan import Job
from harness.study.preprocessing import Framing
from harness.study.scenario_state import ScenarioState
from harness.study.state import StudyState
from harness.tracking.connection import is_lost
from harness.tracking.publisher import Publisher
from harness.training.context import Context

if TYPE_CHECKING:
    from harness.serving.classifier import Classifier

EXPLAINED_IMAGES = 6  # predicted rightly, and as many predicted wrongly


def publish_champion(workspace: Workspace, test: ScenarioState, publisher: Publisher, context: Context) -> None:
    """Make the refitted winner the study's champion in MLflow, with its explanations, unless it is already.

    If that fails, for example because the weights of its frozen backbone are gone, say so and go on: nothing that
    follows needs it.
    """
    (job,), store = test.jobs, workspace.store

    def publish() -> None:
        if publisher.has_champion(test):
            return
        classifier = _classifier(workspace, test, _here(context.device))
        path = explanations_file(store, job.id)
        if not path.exists():
            log = explanations_log(store, job.id)
            attempt(GRAD_CAM_WARNING, log, lambda: explain(classifier, job, workspace, context.pixels).save(path))
        with store.scratch() as folder:
            saved = folder / "classifier"  # its name in the MLflow model too
            saved.mkdir()
            classifier.save(saved)
            publisher.publish_champion(test, saved)

    attempt("the chosen model is not registered", unregistered_log(store, job.id), publish, passing=is_lost)


def _classifier(workspace: Workspace, test: ScenarioState, device: str) -> "Classifier":
    """Build the whole network of a test. Raises HarnessError if its weights are missing."""
    from harness.serving.stored import stored_classifier

    (job,), study, inputs = test.jobs, workspace.study, workspace.inputs
    weights = (workspace.ledger.path(job.id) / "model.safetensors").read_bytes()
    facts, source = test.records[job.id].facts, inputs.heads.get(job.scenario.settings.head)
    found = stored_classifier(job, inputs.dataset, study.study, study.seed, weights, facts, device, source)
    marks = marks_of(study, StudyState((), (test,)), inputs.dataset.synthetic).of_study
    found.about = replace(found.about, marks=marks)
    return found


def _here(device: str) -> str:
    """The device of the fits where this machine has it; else they ran on a cluster, and the CPU does."""
    from harness.training.device import choose_device

    try:
        return str(choose_device(device))
    except HarnessError:
        return "cpu"


def explain(classifier: "Classifier", job: Job, workspace: Workspace, pixels: Mapping[Framing, Path]) -> Explanations:
    """Grad-CAM for the predicted class of a fixed sample of right and wrong test images."""
    from harness.serving.explain import grad_cam

    names, probabilities, labels = arrays(workspace.ledger.predictions(job.id))
    predicted = probabilities.argmax(axis=1)
    sample = _sample(predicted == labels, derive_seed(job.seed, "explanations"))
    rows = workspace.inputs.dataset.rows("test")[sample]
    shown = open_pixels(pixels[job.scenario.settings.framing])[rows]
    words = np.array(names)
    return Explanations(
        rows=rows,
        maps=grad_cam(classifier, shown, predicted[sample]),
        true=words[labels[sample]],
        called=words[predicted[sample]],
        probability=probabilities[sample, predicted[sample]],
    )


def _sample(right: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """The indices of EXPLAINED_IMAGES right and as many wrong predictions at most, at random, right ones first."""
    random = np.random.default_rng(seed)
    drawn = [random.permutation(np.flatnonzero(side))[:EXPLAINED_IMAGES] for side in (right, ~right)]
    return np.concatenate([np.sort(part) for part in drawn])
