"""Classifiers on backbones of other libraries: saved, read without their folder, exported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.serving.architecture import needed_packages
from harness.serving.classifier import Classifier, ClassifierMetadata, plain_network
from harness.serving.onnx import export_onnx
from harness.study.allowed import Pool
from harness.study.settings import ResolvedSettings
from tests.foreign_models import save_open_clip, save_timm, save_transformers

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 1, 64, 64), dtype=np.uint8)


def made_on(kind: str, folder: Path, pool: Pool = "native") -> Classifier:
    """A classifier on the weights of a small model in this folder."""
    if kind == "timm":
        backbone = f"local-dir:{save_timm(folder)}"
    elif kind == "open_clip":
        backbone = f"open_clip:{save_open_clip('transformer', folder)}"
    else:
        backbone = f"transformers:{save_transformers(kind, folder)}"
    settings = ResolvedSettings(
        backbone=backbone, trainable="head", head="linear", pool=pool, image_size=64, batch_size=2, precision="fp32"
    )
    body, top = plain_network(settings, classes=2, seed=1, weights="pretrained")
    about = ClassifierMetadata(settings, ("A", "B"), "B", body.mean, body.std, 2, 1, "demo", "job", "manifest", True)
    return Classifier(about, body, top, torch.device("cpu"))


@pytest.mark.parametrize(
    ("kind", "pool", "package"),
    [
        ("timm", "native", []),
        ("open_clip", "native", ["open_clip_torch"]),
        ("ViTForImageClassification", "cls+avg", ["transformers"]),
        ("SiglipModel", "avg", ["transformers"]),
    ],
)
def test_a_saved_classifier_needs_neither_folder_nor_hub(
    kind: str, pool: Pool, package: list[str], tmp_path: Path
) -> None:
    made = made_on(kind, tmp_path / "model", pool)
    (tmp_path / "saved").mkdir()
    made.save(tmp_path / "saved")
    expected = made.probabilities(PIXELS)
    shutil.rmtree(tmp_path / "model")
    (tmp_path / "saved").rename(tmp_path / "elsewhere")
    again = Classifier.load(tmp_path / "elsewhere", "cpu")
    assert np.array_equal(again.probabilities(PIXELS), expected)
    assert str(tmp_path) not in json.dumps((tmp_path / "elsewhere/classifier.json").read_text())
    assert needed_packages(tmp_path / "elsewhere") == package


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["timm", "open_clip", "ViTModel"])
def test_onnx_gives_the_same_probabilities(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    assert export_onnx(made_on(kind, tmp_path / "model"), tmp_path / "model.onnx") <= 1e-4


@pytest.mark.slow
def test_what_torch_cannot_export_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    with pytest.raises(HarnessError, match="torch cannot export transformers:model to ONNX; nothing was") as error:
        export_onnx(made_on("SwinModel", tmp_path / "model"), tmp_path / "model.onnx")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model.onnx").exists()
