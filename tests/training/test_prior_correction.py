"""Predictions for the class shares that there are: of whole networks, heads and probes, and of the stored model."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import StudyError
from harness.serving.stored import stored_classifier
from harness.stats.arrays import arrays
from harness.stats.priors import learnt_shares, log_odds_shift, shifted
from harness.store import Store
from harness.study import Study
from harness.study.plan import test_jobs as jobs_of_test
from harness.training.job import run_job
from tests.conftest import context_of

SmallStudy = Callable[..., Study]
STAGE = "stages=[{name: a, grid: {epochs: [2]}, select: {metric: val/roc_auc}}]"


@pytest.mark.parametrize(
    ("trainable", "base"),
    [
        ("all", "head=batchnorm-gap, oversampling=random, loss=effective-number"),
        ("head", "head=linear, loss=class-weighted"),
        ("head", "head=logistic, oversampling=random"),
        ("head", "head=knn, oversampling=smote"),
        ("head", "head=svm, undersampling=random"),
    ],
)
def test_only_the_predictions_change_and_by_the_shift_of_the_class_shares(
    trainable: str, base: str, small_study: SmallStudy, store: Store
) -> None:
    overrides = [f"base.{part}" for part in base.split(", ")]
    stages = "stages=[{name: a, grid: {prior_correction: [off, on]}}]"
    study = small_study(f"base.trainable={trainable}", *overrides, stages, "test=null", "data.phantom.train=96")
    context, jobs = context_of(study, store)
    plain, corrected = (job for job in jobs if job.fold == 0)
    # the same seed, though they are different jobs
    results = [run_job(replace(job, seed=1), context, lambda *_: None) for job in (plain, corrected)]
    (_, before, labels), (_, after, _) = (arrays(result.predictions) for result in results)
    counts = {name: np.array(list(of.values())) for name, of in results[1].record.class_counts.items()}
    true = counts["before"] / counts["before"].sum()
    shift = log_odds_shift(true, learnt_shares(plain.scenario.settings.loss, counts["after"]))
    assert np.abs(shift).max() > 0.1 and len(labels)
    np.testing.assert_allclose(after, shifted(before, shift), atol=1e-6)
    losses = [result.record.history[-1]["train/loss"] for result in results]
    assert plain.scenario.settings.is_probe or losses[0] == losses[1]  # of a probe, that of its predictions


def test_the_stored_model_predicts_what_was_scored(small_study: SmallStudy, store: Store) -> None:
    base = ("base.trainable=head", "base.head=linear", "base.oversampling=smote", "base.prior_correction=on")
    study = small_study(*base, STAGE, "test={stages: [a]}", "data.phantom.train=96")
    context, jobs = context_of(study, store)
    (job,) = jobs_of_test(study, jobs[0].scenario, context.digests)
    result = run_job(job, context, lambda *_: None)
    assert result.model is not None
    classifier = stored_classifier(
        job, context.dataset, study.study, study.seed, result.model, result.record.facts, "cpu"
    )
    assert classifier.head.shift.abs().max() > 0.1  # type: ignore[operator]
    rows = context.dataset.rows("test")
    pixels = np.load(next(iter(context.pixels.values())), mmap_mode="r")
    found = classifier.probabilities(pixels[rows])
    np.testing.assert_allclose(found, arrays(result.predictions)[1], atol=1e-6)


def test_what_has_no_known_shares_is_refused(small_study: SmallStudy) -> None:
    with pytest.raises(StudyError, match="prior_correction on with backbone majority, which has no head"):
        small_study("base.prior_correction=on", "stages=[{name: a, grid: {backbone: [majority]}}]", "test=null")
    with pytest.raises(StudyError, match="prior_correction on with loss my_parts:Brier, a loss of your own"):
        small_study("base.prior_correction=on", "base.loss=my_parts:Brier")
