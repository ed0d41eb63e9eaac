"""Classifiers of every head: saved and read, asked for arrays, explained, exported."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from harness.data.decode import decode
from harness.errors import DataError, HarnessError
from harness.models.names import HEADS, STACKED_HEADS
from harness.serving.classifier import Classifier, ClassifierMetadata, plain_network
from harness.serving.explain import grad_cam
from harness.serving.images import AnyImage, read_images
from harness.serving.stored import stored_classifier
from harness.store import Store
from harness.study import Study
from harness.study.pixel_rules import PixelRules
from harness.study.plan import test_jobs as jobs_on_the_test_set
from harness.study.settings import ResolvedSettings
from harness.training.job import run_job
from tests.conftest import context_of

Tta = Literal["none", "flip", "crops", "flip+crops"]


def classifier(
    head: str = "dropout-gap", trainable: str = "head", backbone: str = "test_resnet", tta: Tta = "none"
) -> Classifier:
    settings = ResolvedSettings(
        backbone=backbone,
        weights="none",
        trainable=trainable,
        head=head,
        image_size=64,
        batch_size=2,
        precision="fp32",
        tta=tta,
    )
    body, top = plain_network(settings, classes=2, seed=1, weights="none")
    about = ClassifierMetadata(settings, ("A", "B"), "B", body.mean, body.std, 2, 1, "demo", "job", "manifest", True)
    return Classifier(about, body, top, torch.device("cpu"))


@pytest.mark.parametrize("head", HEADS)
def test_a_frozen_backbone_gives_the_bits_of_the_job(
    small_study: Callable[..., Study], store: Store, tmp_path: Path, head: str
) -> None:
    same_bits(small_study("base.trainable=head", f"stages.0.grid.head=[{head}]"), store, tmp_path)


def test_a_network_that_is_asked_by_views_gives_the_bits_of_the_job(
    small_study: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    same_bits(small_study("base.tta=flip+crops"), store, tmp_path)


def same_bits(study: Study, store: Store, tmp_path: Path) -> None:
    """The saved classifier predicts the test images as its job did."""
    context, (fold, *_) = context_of(study, store)
    (job,) = jobs_on_the_test_set(study, fold.scenario, context.digests)
    result = run_job(job, context, lambda *_: None)
    assert result.model is not None
    facts = result.record.facts
    made = stored_classifier(job, context.dataset, "small", study.seed, result.model, facts, "cpu")
    made.save(tmp_path)
    files = [context.dataset.root / image for image in result.predictions["image"]]
    found = Classifier.load(tmp_path, "cpu").predict(files)
    columns = ["prob_NORMAL", "prob_PNEUMONIA"]
    pd.testing.assert_frame_equal(found[columns], result.predictions[columns], check_exact=True)


PIXELS = np.random.default_rng(0).integers(0, 256, (3, 1, 64, 64), dtype=np.uint8)


@pytest.mark.parametrize(("trainable", "tta"), [("head", "none"), ("all", "none"), ("all", "flip+crops")])
def test_a_saved_classifier_gives_the_same_bits(tmp_path: Path, trainable: str, tta: Tta) -> None:
    made = classifier(trainable=trainable, tta=tta)
    made.save(tmp_path)
    again = Classifier.load(tmp_path, "cpu")
    assert again.about == made.about
    assert np.array_equal(again.probabilities(PIXELS), made.probabilities(PIXELS))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(HarnessError, match="not the file that was saved"):
        Classifier.load(tmp_path, "cpu")


def test_a_model_reads_images_as_its_study_did(tmp_path: Path) -> None:
    made = classifier()
    rules = PixelRules(resize="letterbox", window=(-100, 300))
    made.about = replace(made.about, pixel_rules=rules)
    made.save(tmp_path)
    again = Classifier.load(tmp_path, "cpu")
    assert again.about == made.about
    assert json.loads((tmp_path / "classifier.json").read_text())["format"] == 3  # unknown to versions without rules
    values = np.random.default_rng(0).integers(-200, 400, (40, 60)).astype(np.float32)
    file = tmp_path / "image.tif"
    Image.fromarray(values).save(file)
    shown: list[AnyImage] = [
        file,
        file.read_bytes(),
        values,
        values.astype(np.int16),
        values.astype(float),
        values.astype(np.int32),
    ]
    pixels = decode(file, 64, rules)
    assert not pixels[:10].any() and pixels[30].any()
    expected = made.probabilities(np.stack([pixels[None]] * len(shown)))
    np.testing.assert_array_equal(again.predict(shown)[["prob_A", "prob_B"]].to_numpy(), expected)
    with pytest.raises(DataError, match="its pixels are floats, whose range is not known"):
        classifier().predict([file])


def test_a_model_without_rules_is_one_that_older_versions_read(tmp_path: Path) -> None:
    classifier().save(tmp_path)
    file = tmp_path / "classifier.json"
    text = json.loads(file.read_text())
    assert text["format"] == 2
    del text["about"]["pixel_rules"]  # as older versions wrote it
    file.write_text(json.dumps(text))
    assert Classifier.load(tmp_path, "cpu").about.pixel_rules == PixelRules()


def test_files_bytes_and_arrays_of_any_size_are_one_image(tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, (50, 91, 3), dtype=np.uint8)
    file = tmp_path / "image.png"
    Image.fromarray(array).save(file)
    pixels = read_images([file, file.read_bytes(), array, array[..., 0]], 64)
    assert pixels.shape == (4, 3, 64, 64)
    assert np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2])
    assert np.array_equal(pixels[3, 0], pixels[3, 2])
    assert read_images([array[..., 0], array[..., 0].astype(np.uint16) << 8], 64).std(axis=0).max() == 0
    clear = np.dstack([array, np.random.default_rng(2).integers(0, 256, array.shape[:2], dtype=np.uint8)])
    Image.fromarray(clear).save(file)
    pixels = read_images([file, clear, array], 64)
    assert np.array_equal(pixels[0], pixels[1]) and pixels[0].mean() > pixels[2].mean() + 30  # laid on white
    with pytest.raises(DataError, match=r"image 1: an array of shape \(4, 4\) and type float64"):
        read_images([np.zeros((4, 4))], 64)


@pytest.mark.parametrize("head", ["mlp", "logistic", "svm"])
def test_a_vector_that_is_the_mean_of_a_map_is_explained_by_that_map(head: str) -> None:
    made = classifier(head)
    for name, parameter in made.head.named_parameters():
        if name not in ("centre", "scale"):
            torch.nn.init.uniform_(parameter.data)
    maps = grad_cam(made, PIXELS, np.array([1, 1, 1]))
    (images,) = made.loader(PIXELS)([np.arange(3)])
    features = made.backbone.before_pooling(images).detach().requires_grad_()
    made.head(features)[:, 1].sum().backward()
    assert features.grad is not None
    expected = (features.grad.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu().detach().numpy()
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-30)
    assert maps.max() == 1
    np.testing.assert_allclose(maps, expected, atol=1e-4)


@pytest.mark.parametrize("head", STACKED_HEADS)  # which have one linear layer each
def test_grad_cam_is_the_gradient_weighted_map(head: str) -> None:
    made = classifier(head)
    linear = made.head.linear
    assert isinstance(linear, torch.nn.Linear)
    linear.weight.data[1].abs_()  # of features that are not negative: some place speaks for the class
    classes = np.array([0, 1, 1])
    maps = grad_cam(made, PIXELS, classes)
    features = made.backbone.before_pooling(*made.loader(PIXELS)([np.arange(3)])).detach().requires_grad_()
    made.head(features)[range(3), classes].sum().backward()
    assert features.grad is not None
    expected = (features.grad.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu().detach().numpy()
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-30)
    assert maps.max() == 1
    np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_the_tokens_of_a_transformer_are_a_square_map() -> None:
    assert grad_cam(classifier(backbone="test_vit"), PIXELS, np.array([0, 1, 0])).shape == (3, 4, 4)


def test_what_a_vector_is_pooled_from_is_drawn() -> None:
    for backbone, size in (("test_vit3", 4), ("test_vit2", 4), ("test_convnext", 2)):  # pooled by attention, by means
        maps = grad_cam(classifier("linear", backbone=backbone), PIXELS, np.array([0, 1, 0]))
        assert maps.shape == (3, size, size)
        assert maps.max() == 1


def test_a_prediction_that_no_place_decides_is_not_drawn() -> None:
    with pytest.raises(HarnessError, match="that of test_vit is from another token"):
        grad_cam(classifier("linear", backbone="test_vit"), PIXELS, np.array([0, 1, 0]))
    with pytest.raises(HarnessError, match="Grad-CAM needs a feature map; efficientvim_m1 gives no single map"):
        grad_cam(classifier("linear", backbone="efficientvim_m1"), PIXELS, np.array([0, 1, 0]))
    with pytest.raises(HarnessError, match="the head knn counts the votes of training images"):
        grad_cam(classifier("knn"), PIXELS, np.array([0, 1, 0]))


@pytest.mark.parametrize(
    ("trainable", "tta"), [("head", "none"), pytest.param("all", "flip+crops", marks=pytest.mark.long)]
)
def test_onnx_gives_the_same_probabilities(tmp_path: Path, trainable: str, tta: Tta) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from harness.serving.onnx import export_onnx

    made = classifier("batchnorm-gap", trainable, tta=tta)
    assert export_onnx(made, tmp_path / "model.onnx") <= 1e-4
    session = runtime.InferenceSession((tmp_path / "model.onnx").read_bytes())
    (found,) = session.run(None, {"pixels": np.repeat(PIXELS, 3, axis=1).astype(np.float32)})
    np.testing.assert_allclose(found, made.probabilities(PIXELS), atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["classes"] == '["A", "B"]'
