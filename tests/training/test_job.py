import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

from harness.data.pixels import open_pixels
from harness.models.anatomy import anatomy
from harness.models.backbone import feature_shape, load_backbone
from harness.models.heads import make_head
from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.store import Store
from harness.store.results import FoldResult, Metrics
from harness.study import Study, load_study, plan
from harness.study.plan import Job, fold_jobs
from harness.study.preprocessing import Framing
from harness.training.context import Context
from harness.training.job import run_job
from harness.training.loaders import PixelLoader
from harness.training.predict import predict
from tests.conftest import context_of

ONE_EPOCH = ("base.epochs=1", "stages.0.grid={oversampling: [none, random]}")


@pytest.fixture(scope="module")
def store(new_store: Callable[[], Store]) -> Store:
    return new_store()


def silent(_job: str, _epoch: int, _metrics: Metrics) -> None:
    pass


def recomputed(result: FoldResult, split: str) -> Metrics:
    classes, probabilities, labels = arrays(result.predictions)
    metrics = classification_metrics(probabilities, labels, classes.index("PNEUMONIA"))
    return {f"{split}/{name}": value for name, value in metrics.items()}


@pytest.fixture(scope="module", params=["all", "head"])
def fitted(
    request: pytest.FixtureRequest, store: Store, small_study: Callable[..., Study]
) -> tuple[Study, Context, dict[Job, FoldResult]]:
    """Two scenarios of two folds, the network trained whole or the head alone."""
    study = small_study(f"base.trainable={request.param}", *ONE_EPOCH)
    context, jobs = context_of(study, store)
    return study, context, {job: run_job(job, context, silent) for job in jobs}


Case = tuple[Study, Context, dict[Job, FoldResult]]


def final_jobs(study: Study, context: Context) -> list[Job]:
    return plan.test_jobs(
        study, plan.stage_scenarios(study, study.stages[0], None, context.digests)[0], context.digests
    )


def test_the_predictions_have_a_row_for_each_validation_image(fitted: Case) -> None:
    _, context, results = fitted
    assert len(results) == 4
    for job, result in results.items():
        assert job.fold is not None
        rows, frame = context.folds[job.repeat, job.fold].validation, result.predictions
        probabilities = ["prob_NORMAL", "prob_PNEUMONIA"]
        assert list(frame) == ["image", "patient", "label", "fold", "repeat", *probabilities]
        given = context.dataset.table.loc[rows, ["image", "patient", "label"]].reset_index(drop=True)
        pd.testing.assert_frame_equal(frame[["image", "patient", "label"]], given)
        assert (frame["fold"] == job.fold).all()
        assert (frame["repeat"] == job.repeat).all()
        np.testing.assert_allclose(frame[probabilities].sum(axis=1), 1)


def test_the_metrics_are_those_of_the_stored_predictions(fitted: Case, tmp_path: Path) -> None:
    for job, result in fitted[2].items():
        result.predictions.to_parquet(tmp_path / "p.parquet")
        read_back = replace(result, predictions=pd.read_parquet(tmp_path / "p.parquet"))
        record = result.record
        assert record.metrics == record.history[0]
        assert record.metrics == {
            **recomputed(read_back, "val"), **{k: v for k, v in record.history[0].items() if k.startswith("train/")}
        }  # fmt: skip
        assert (record.job_id, record.selected_epoch) == (job.id, 1)


def test_the_class_counts_are_those_before_and_after_oversampling(fitted: Case) -> None:
    _, context, results = fitted
    for job, result in results.items():
        assert job.fold is not None
        before = context.dataset.counts(context.folds[job.repeat, job.fold].train)
        more = max(before.values())
        after = before if job.scenario.settings.oversampling == "none" else {"NORMAL": more, "PNEUMONIA": more}
        assert result.record.class_counts == {"before": before, "after": after}


def test_only_test_jobs_store_a_model_and_they_score_the_test_images(fitted: Case) -> None:
    study, context, results = fitted
    assert all(result.model is None for result in results.values())
    (refit,) = final_jobs(study, context)
    result = run_job(refit, context, silent)
    assert result.model is not None
    table = context.dataset.table
    assert list(result.predictions["image"]) == list(table["image"][table["split"] == "test"])
    assert result.predictions["fold"].isna().all()
    assert {k: v for k, v in result.record.metrics.items() if k.startswith("test/")} == recomputed(result, "test")
    assert not any(name.startswith("val/") for name in result.record.metrics)
    assert all(set(epoch) == {"train/loss", "train/accuracy"} for epoch in result.record.history)
    everything = context.dataset.counts(context.dataset.rows("train"))
    assert result.record.class_counts == {"before": everything, "after": everything}


def test_the_stored_model_gives_the_predictions(store: Store, small_study: Callable[..., Study]) -> None:
    study = small_study(*ONE_EPOCH)
    context, _ = context_of(study, store)
    (refit,) = final_jobs(study, context)
    result = run_job(refit, context, silent)
    assert result.model is not None
    backbone = load_backbone(refit.scenario.settings, seed=99)
    model = nn.Sequential()
    model.add_module("backbone", backbone)
    model.add_module("head", make_head(refit.scenario.settings, feature_shape(backbone, 32), 2))
    model.load_state_dict(safetensors.torch.load(result.model))
    loader = PixelLoader(open_pixels(context.pixels[Framing(32)]), backbone.mean, backbone.std, torch.device("cpu"))
    probabilities = predict(model, loader, context.dataset.rows("test"), 8)
    np.testing.assert_allclose(result.predictions[["prob_NORMAL", "prob_PNEUMONIA"]], probabilities, atol=1e-5)


def test_a_test_job_of_a_fold_trains_on_that_fold_alone(store: Store, small_study: Callable[..., Study]) -> None:
    study = small_study(*ONE_EPOCH, "test.model=folds")
    context, _ = context_of(study, store)
    jobs = final_jobs(study, context)
    assert [job.fold for job in jobs] == [0, 1]
    for job in jobs:
        result = run_job(job, context, silent)
        expected = context.dataset.counts(context.folds[0, job.fold or 0].train)
        assert result.record.class_counts["before"] == expected
        assert set(result.predictions["fold"]) == {job.fold}
        assert len(result.predictions) == 24


def test_features_of_test_images_are_computed_for_test_jobs_alone(
    new_store: Callable[[], Store], small_study: Callable[..., Study]
) -> None:
    study = small_study("base.trainable=head", *ONE_EPOCH)
    context, jobs = context_of(study, new_store())
    for job in jobs:
        run_job(job, context, silent)
    assert len(list(context.features.glob("*/maps.npy"))) == 1
    (refit,) = final_jobs(study, context)
    run_job(refit, context, silent)
    assert len(list(context.features.glob("*/maps.npy"))) == 2


@pytest.mark.parametrize("trainable", ["all", "head"])
def test_a_job_gives_the_same_numbers_again_and_others_for_another_seed(
    store: Store, small_study: Callable[..., Study], trainable: str
) -> None:
    context, (job, *_) = context_of(small_study(f"base.trainable={trainable}", *ONE_EPOCH), store)
    first, again = run_job(job, context, silent), run_job(job, context, silent)
    assert first.record.history == again.record.history
    pd.testing.assert_frame_equal(first.predictions, again.predictions)
    assert run_job(replace(job, seed=job.seed + 1), context, silent).record.history != first.record.history
    other_backbone = run_job(job, replace(context, seed=context.seed + 1), silent)
    assert other_backbone.record.history != first.record.history


def test_epochs_are_reported_under_the_jobs_id(store: Store, small_study: Callable[..., Study]) -> None:
    context, (job, *_) = context_of(small_study("base.epochs=3"), store)
    reported: list[tuple[str, int, Metrics]] = []
    result = run_job(job, context, lambda *event: reported.append(event))
    assert reported == [(job.id, epoch, metrics) for epoch, metrics in enumerate(result.record.history, start=1)]
    assert len(reported) == 3
    assert result.record.facts.device == "cpu"
    assert result.record.facts.precision == "fp32"
    assert result.record.facts.torch == torch.__version__


def test_three_classes_are_scored_by_their_means(tmp_path: Path, new_store: Callable[[], Store]) -> None:
    from tests.conftest import draw_images

    paths = [f"{split}/{c}/{split}{c}{n}.png" for split, n_ in (("train", 8), ("test", 3)) for c in "ABC"
             for n in range(n_)]  # fmt: skip
    root = draw_images(tmp_path / "images", {path: seed for seed, path in enumerate(paths)})
    file = tmp_path / "three.yaml"
    file.write_text(
        "study: three\ndata: {source: folder, image_size: 32}\nfolds: {k: 2}\n"
        "base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 8}\nstages: [{name: one}]\n"
    )
    context, jobs = context_of(load_study(file, data_path=str(root)), new_store())
    result = run_job(jobs[0], context, silent)
    classes, probabilities, labels = arrays(result.predictions)
    assert classes == ["A", "B", "C"]
    expected = classification_metrics(probabilities, labels, None)
    assert {k: v for k, v in result.record.metrics.items() if k.startswith("val/")} == {
        f"val/{k}": v for k, v in expected.items()
    }


def test_frozen_real_weights_tell_real_pneumonia_from_normal(
    xrays: Path, lite0_weights: Path, tmp_path: Path, new_store: Callable[[], Store]
) -> None:
    file = tmp_path / "real.yaml"
    file.write_text(
        "study: real\ndata: {source: folder, image_size: 96, positive: PNEUMONIA, patient: kermany, limit: 150}\n"
        "folds: {k: 2}\nstages: [{name: one}]\nbase: {backbone: tf_efficientnet_lite0, trainable: head,"
        " epochs: 15, batch_size: 16, learning_rate: 1.0e-3, oversampling: random}\n"
    )
    study = load_study(file, [f"base.weights={lite0_weights}"], str(xrays))
    context, jobs = context_of(study, new_store())
    areas = [run_job(job, context, silent).record.metrics["val/roc_auc"] for job in jobs]
    assert min(areas) > 0.9


def test_only_the_last_stages_are_trained_where_the_settings_say_so(
    store: Store, small_study: Callable[..., Study]
) -> None:
    context, _ = context_of(small_study(), store)
    found = {}
    for trainable in ("all", "last-1"):
        study = small_study(*ONE_EPOCH, f"base.trainable={trainable}", "base.augment=flip")
        (refit,) = final_jobs(study, context)
        found[trainable] = run_job(refit, context, silent)
    start = load_backbone(refit.scenario.settings, context.seed).state_dict()
    for trainable, result in found.items():
        assert result.model is not None
        state = safetensors.torch.load(result.model)
        moved = {key.split(".")[1] for key, value in start.items() if not torch.equal(value, state[f"backbone.{key}"])}
        assert ("layer1" in moved, "layer4" in moved) == (trainable == "all", True)
    whole = {
        key: value.numel() for key, value in safetensors.torch.load(found["last-1"].model or b"").items()
        if "running" not in key and "num_batches" not in key
    }  # fmt: skip
    last = sum(size for key, size in whole.items() if key.startswith(("backbone.network.layer4", "head.")))
    facts = {name: result.record.facts for name, result in found.items()}
    assert (facts["last-1"].parameters, facts["last-1"].trained_parameters) == (sum(whole.values()), last)
    assert facts["all"].parameters == facts["all"].trained_parameters == sum(whole.values())


def test_a_frozen_backbone_counts_and_its_extraction_is_billed_to_no_single_fit(
    new_store: Callable[[], Store], small_study: Callable[..., Study]
) -> None:
    study = small_study("base.trainable=head", *ONE_EPOCH)
    context, (first, *_) = context_of(study, new_store())
    jobs = fold_jobs(study, first.scenario, context.digests)[:2]
    cold, warm = (run_job(job, context, silent).record.facts for job in jobs)
    (about,) = [json.loads(path.read_text()) for path in context.features.glob("*/about.json")]
    assert (cold.backbone_passes, warm.backbone_passes) == (len(context.dataset.rows("train")), 0)
    assert cold.extraction_seconds == warm.extraction_seconds == about["seconds"] > 0
    backbone = sum(p.numel() for p in load_backbone(first.scenario.settings, 0).parameters())
    head = warm.trained_parameters
    assert head < 1_000
    linear = 2 * 2 * anatomy(first.scenario.settings.backbone, 32).shape[0]
    assert cold.flops == warm.flops == anatomy(first.scenario.settings.backbone, 32).flops + linear
    assert cold.parameters == warm.parameters == backbone + head


def test_what_nothing_reads_is_neither_counted_nor_stored(store: Store, small_study: Callable[..., Study]) -> None:
    study = small_study(*ONE_EPOCH, "base.backbone=mobilenetv4_conv_small", "base.trainable=all")
    context, _ = context_of(study, store)
    (refit,) = final_jobs(study, context)
    result = run_job(refit, context, silent)
    stored = safetensors.torch.load(result.model or b"")
    assert not any(key.startswith(("backbone.network.conv_head", "backbone.network.classifier")) for key in stored)
    trained = [value.numel() for key, value in stored.items() if "running" not in key and "num_batches" not in key]
    assert result.record.facts.trained_parameters == result.record.facts.parameters == sum(trained) < 1_300_000
