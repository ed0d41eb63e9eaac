from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import StudyError
from harness.report.figures.scenario_figures import learning_curves
from harness.store import Ledger, Store
from harness.store.results import FoldRecord
from harness.study import Study
from harness.training.fit import fit
from harness.training.fit_history import Fitted
from harness.training.loaders import PixelLoader
from harness.training.network import Network
from harness.training.task import FitJob, Task, inner_rows, task_of, training_rows
from tests.conftest import context_of, fit_facts, run_in
from tests.training.test_fit import CPU, FP32, LABELS, PIXELS, SETTINGS, TASK, network, silent

HOLDING = replace(TASK, train=np.arange(30), inner=np.arange(30, 40))
STOPPING = {"epochs": 12, "stop_patience": 2, "learning_rate": 0.02}


def fitted(task: Task = HOLDING, pixels: np.ndarray = PIXELS, **changes: object) -> tuple[Fitted, nn.Module]:
    settings = SETTINGS.model_copy(update=STOPPING | changes)
    model, _ = network(settings)
    assert isinstance(model, Network)
    loader = PixelLoader(pixels, model.backbone.mean, model.backbone.std, CPU)
    return fit(model, loader, FitJob(task, settings, 0, silent), FP32), model


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("metric", "sign"), [("loss", 1), ("roc_auc", -1)])
@pytest.mark.parametrize("ema", [0, 0.5])
def test_it_ends_when_patience_does_with_the_model_of_the_best_epoch(metric: str, sign: int, ema: float) -> None:
    found, model = fitted(stop_metric=metric, ema=ema)
    scores = [sign * epoch[f"inner/{metric}"] for epoch in found.history]
    best = int(np.argmin(scores)) + 1  # the first of equals
    assert (found.selected_epoch, len(found.history)) == (best, best + 2)
    assert len(found.history) < 12
    whole, at_best = fitted(replace(HOLDING, inner=np.arange(0)), epochs=best, stop_patience=0, ema=ema)
    assert same_weights(model, at_best)
    assert np.array_equal(found.probabilities, whole.probabilities)
    assert found.metrics == whole.metrics


def test_without_a_better_model_than_the_last_all_epochs_are_trained() -> None:
    found, _ = fitted(stop_patience=12)
    assert len(found.history) == 12


def test_validation_images_decide_nothing() -> None:
    other = PIXELS.copy()
    other[40:] = 255 - other[40:]
    (found, model), (with_other, other_model) = fitted(), fitted(pixels=other)
    assert found.metrics != with_other.metrics
    assert found.selected_epoch == with_other.selected_epoch
    assert same_weights(model, other_model)


def test_a_test_set_is_scored_once_by_the_model_of_the_best_epoch() -> None:
    (found, model), (once, scored_once) = fitted(), fitted(replace(HOLDING, every_epoch=False))
    assert same_weights(model, scored_once)
    assert once.selected_epoch == found.selected_epoch
    assert np.array_equal(once.probabilities, found.probabilities)
    assert not any(name.startswith("val/") for epoch in once.history for name in epoch)


@pytest.mark.parametrize("oversampling", ["none", "random"])
def test_the_images_held_out_are_whole_patients_of_the_training_fold_and_never_trained_on(
    small_study: Callable[..., Study], image_folder: Path, store: Store, oversampling: str
) -> None:
    of_folder = (
        "data.source=folder",
        f"data.path={image_folder}",
        "data.positive=B",
        r"data.patient=(?P<patient>\w+)-\d+",
    )
    study = small_study(*of_folder, "base.stop_patience=2", f"base.oversampling={oversampling}")
    context, jobs = context_of(study, store)
    for job in jobs:
        task = task_of(job, context, None)
        kept = np.unique(task.train)
        assert set(task.inner) | set(kept) == set(training_rows(job, context))
        patients = [set(context.dataset.groups[rows]) for rows in (task.inner, kept, task.evaluate)]
        assert not (patients[0] & patients[1] or patients[0] & patients[2])
        assert {*context.dataset.labels[task.inner]} == {0, 1}
        assert np.array_equal(task.inner, inner_rows(job, context))
        if oversampling == "random":
            assert len({*np.bincount(context.dataset.labels[task.train])}) == 1


def test_a_refit_is_trained_on_all_images_for_the_median_epoch(
    small_study: Callable[..., Study], new_store: Callable[[], Store]
) -> None:
    overrides = ("stages=[{name: heads, grid: {head: [dropout-gap, batchnorm-gap]}, select: {metric: val/roc_auc}}]",)
    study = small_study(
        *overrides,
        "test.stages=[heads]",
        "folds.k=3",
        "base.epochs=6",
        "base.stop_patience=1",
        "base.learning_rate=0.02",
    )
    found = run_in(study, new_store())
    ledger, (test,) = Ledger(found.store), found.run.state.tests
    best = found.run.state.stages[0].best
    assert best is not None
    folds = [ledger.record(job.id) for job in best.jobs]
    epochs = sorted(record.selected_epoch for record in folds)
    assert len({len(record.history) for record in folds} | {6}) > 1  # some stopped
    (refit,) = (ledger.record(job.id) for job in test.jobs)
    assert len(refit.history) == refit.selected_epoch == epochs[1] == test.settings.epochs
    assert test.settings.stop_patience == 0
    assert f"all training images, after {epochs[1]} epochs, the median of its folds" in found.run.report.read_text()
    assert "inner" not in refit.class_counts
    assert sum(refit.class_counts["before"].values()) == 48
    for record in folds:
        parts = [sum(record.class_counts[part].values()) for part in ("inner", "after", "before")]
        assert parts[0] + parts[1] == parts[2] == 32
        assert 3 <= parts[0] <= 6  # an eighth, of 32: no class has the images for a tenth


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["base.select_epoch=best"], "select_epoch best with stop_patience 3"),
        (["base.schedule=cosine"], "stop_patience 3 with schedule cosine"),
        (
            ["stages=[{name: leak}]", "test=", "base.oversampling=random-before-split"],
            "stop_patience 3 with oversampling random-before-split",
        ),
    ],
)
def test_what_it_cannot_be_combined_with_is_refused(
    small_study: Callable[..., Study], overrides: list[str], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        small_study("base.stop_patience=3", *overrides)


def test_labels_are_those_of_the_images_held_out() -> None:
    """A model that has learnt the task scores them well: their labels belong to them."""
    found, _ = fitted(stop_metric="accuracy", stop_patience=5)
    assert max(epoch["inner/accuracy"] for epoch in found.history) >= 0.9
    assert 0 < LABELS[HOLDING.inner].mean() < 1


@pytest.mark.figures
def test_a_curve_goes_as_far_as_every_fold_was_trained(tmp_path: Path) -> None:
    point = {f"{side}/{name}": 0.5 for side in ("train", "val") for name in ("loss", "accuracy")}
    records = [FoldRecord(f"{n}", [point] * n, 1, {}, {}, fit_facts()) for n in (3, 5)]
    learning_curves(records, "curves", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000
