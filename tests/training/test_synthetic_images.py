"""Fits that learn from synthetic images: made from the training images of the fold, counted, and never scored."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from harness.data.inner_split import inner_split
from harness.models.heads import Reads
from harness.store import Store
from harness.study import Study
from harness.study.plan import Job
from harness.training.context import Context
from harness.training.features import cached_features
from harness.training.job import run_job
from harness.training.loaders import FeatureLoader, WithSynthetic
from harness.training.run import stacks
from harness.training.task import resampled_rows, task_of
from tests.conftest import context_of

GRID = "{head: [linear, logistic], oversampling: [smote], undersampling: [none, random, tomek]}"
Case = tuple[Context, list[Job]]


@pytest.fixture(scope="module")
def case(new_store: Callable[[], Store], small_study: Callable[..., Study]) -> Case:
    overrides = ("base.trainable=head", "test=null", f"stages=[{{name: a, grid: {GRID}}}]")
    return context_of(small_study(*overrides, "data.phantom.train=64"), new_store())


def test_classes_are_counted_and_synthetic_images_are_never_scored(case: Case) -> None:
    context, jobs = case
    for job in jobs[::2]:
        result = run_job(job, context, lambda *_: None)
        counts, largest = result.record.class_counts, max(result.record.class_counts["before"].values())
        assert sum(counts["synthetic"].values()) == 2 * largest - sum(counts["before"].values()) > 0
        if job.scenario.settings.undersampling == "none":
            assert set(counts["after"].values()) == {largest}
        assert job.fold is not None
        scored = context.dataset.table["image"][context.folds[job.repeat, job.fold].validation]
        assert result.predictions["image"].tolist() == scored.tolist()


def test_the_same_job_gives_the_same_bits_and_learns_from_synthetic_images(case: Case) -> None:
    context, jobs = case
    for job in (jobs[0], next(job for job in jobs if job.scenario.settings.head == "logistic")):
        first, second = (run_job(job, context, lambda *_: None) for _ in range(2))
        pd.testing.assert_frame_equal(first.predictions, second.predictions, check_exact=True)
        assert first.record.history == second.record.history


def test_they_come_from_the_training_images_of_the_fold(case: Case) -> None:
    context, jobs = case
    cached = cached_features(jobs[0], context)
    for job in jobs[:2]:
        task = task_of(job, context, cached)
        assert job.fold is not None and len(task.synthetic)
        fold = context.folds[job.repeat, job.fold]
        assert {*task.real.tolist()} == {*fold.train.tolist()}
        of_fold = cached.vectors(fold.train[context.dataset.labels[fold.train] == task.synthetic_labels[0]])
        assert (task.synthetic >= of_fold.min(axis=0) - 1e-6).all()
        assert (task.synthetic <= of_fold.max(axis=0) + 1e-6).all()


def test_a_probe_chooses_by_images_that_no_synthetic_one_was_made_from(case: Case) -> None:
    context, jobs = case
    job = next(job for job in jobs if job.scenario.settings.head == "logistic")
    cached = cached_features(job, context)
    inner = inner_split(context.dataset, task_of(job, context, cached).real, 0)
    trial = resampled_rows(job, context, inner.kept, cached)
    assert len(trial.labels) and {*trial.rows.tolist()} <= {*inner.kept.tolist()}
    assert not {*trial.rows.tolist()} & {*inner.rows[inner.held_out].tolist()}
    kept = cached.vectors(inner.kept)
    assert (trial.vectors <= kept.max(axis=0) + 1e-6).all() and (trial.vectors >= kept.min(axis=0) - 1e-6).all()


@pytest.mark.parametrize("form", ["maps", "means", "moments"])
def test_the_loader_gives_both_in_the_form_that_a_head_reads(case: Case, form: Reads) -> None:
    context, jobs = case
    cached = cached_features(jobs[0], context)
    plain = FeatureLoader(cached.files, torch.device("cpu"), lambda: form)
    synthetic = np.arange(2 * cached.files[0].shape[0], dtype=np.float32).reshape(2, -1)
    images = len(context.dataset.labels)
    loader = WithSynthetic(plain, images, synthetic, lambda: form)
    mixed, real, made = loader([np.array([3, images + 1, 5]), np.array([7, 8]), np.array([images, images + 1])])
    torch.testing.assert_close(mixed[[0, 2]], next(iter(plain([np.array([3, 5])]))), rtol=0, atol=0)
    torch.testing.assert_close(real, next(iter(plain([np.array([7, 8])]))), rtol=0, atol=0)
    vectors = made[:, 0] if form == "moments" else made.flatten(1)
    np.testing.assert_array_equal(vectors.numpy(), synthetic)
    np.testing.assert_array_equal(mixed[1].numpy(), made[1].numpy())
    assert form != "moments" or not made[:, 1].any()


def test_such_a_fit_is_in_no_stack(case: Case) -> None:
    context, jobs = case
    assert all(len(group) == 1 for group in stacks(jobs, Context(**vars(context) | {"stack": True})))
