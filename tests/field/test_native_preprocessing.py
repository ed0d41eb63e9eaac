"""`preprocessing: native`: images are resized and cropped as the weights were trained."""

import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from harness.study.preprocessing import Framing
from tests.field.conftest import Harness, four, write_study


@pytest.mark.long
def test_a_study_of_two_preprocessings_from_its_fits_to_a_served_model(harness: Harness) -> None:
    four(8)
    write_study(grid="{preprocessing: [native, bicubic-center-0.8]}", trainable="head")
    told = harness("run", "s.yaml")
    assert told.code == 0, told.err
    assert {line.partition(":")[0] for line in told.err.splitlines() if line.startswith("images decoded at")} == {
        f"images decoded at {Framing(32, words)}" for words in ("bicubic-center-0.8", "bilinear-center-0.95")
    } | {"images decoded at 32 px"}  # for the audit
    (report,) = Path("mlruns/reports").rglob("report.md")
    inputs = pd.read_csv(report.with_name("inputs.csv"))
    assert sorted(inputs["interpolation"]) == ["bicubic", "bilinear"]
    assert set(inputs["mean"]) == {"0.5, 0.5, 0.5"} and set(inputs["image size"]) == {32}
    assert "What the networks read" in report.read_text()
    assert harness("verify").code == 0
    (name,) = {job.parent for job in Path("mlruns/jobs").rglob("model.safetensors")}
    test = pd.read_parquet(name / "predictions.parquet").set_index("image")
    images = sorted(Path("d/test").rglob("*.png"))
    served = pd.read_csv(StringIO(harness("predict", "s.yaml", *map(str, images), "--csv").out))
    for image, probability in zip(served["image"], served["prob_ILL"], strict=True):
        assert probability == pytest.approx(test.loc[Path(image).relative_to("d").as_posix(), "prob_ILL"], abs=1e-6)
    assert len(served) == 8 and served["prob_ILL"].nunique() == 8


@pytest.mark.long
def test_native_is_the_same_work_as_its_words_and_study_as_nothing(harness: Harness) -> None:
    four(8)
    write_study(trainable="head", test="")

    assert harness("run", "s.yaml", "--set", "base.preprocessing=native").code == 0
    by_words = harness("plan", "s.yaml", "--set", "base.preprocessing=bilinear-center-0.95")
    assert "jobs: 2 known, 2 done" in " ".join(by_words.out.split())
    assert "jobs: 2 known, 0 done" in " ".join(harness("plan", "s.yaml").out.split())
    shutil.rmtree("d")
    assert harness("status", "s.yaml", "--set", "base.preprocessing=native").code == 0


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("nativ", "native"),
        ("cubic-center-0.9", "bicubic"),
        ("bicubic-center-0", "crop_pct"),
        ("bicubic-border-1", "squash"),
    ],
)
def test_what_is_no_preprocessing_is_refused(harness: Harness, value: str, names: str) -> None:
    four(4)
    write_study()
    line = harness.refused("plan", "s.yaml", "--set", f"base.preprocessing={value}")
    assert line.startswith(f"error: --set base.preprocessing={value}: base.preprocessing: ") and names in line


def test_weights_whose_crop_is_not_supported_are_refused(harness: Harness) -> None:
    four(4)
    write_study(backbone="deepseek_vit_412m_enc.deepseek_v4_1_flash")
    line = harness.refused("plan", "s.yaml", "--set", "base.preprocessing=native")
    assert "bicubic-border" in line and "write study" in line


@pytest.mark.long
def test_the_next_stage_gets_what_is_native_to_its_own_backbone(harness: Harness) -> None:
    four(4)
    write_study(grid="{backbone: [test_resnet]}", test="")
    text = Path("s.yaml").read_text()
    Path("s.yaml").write_text(
        f"{text}  - name: b\n    grid: {{backbone: [tf_efficientnet_lite0], image_size: [40]}}\n"
        "    select: {metric: val/balanced_accuracy}\n"
    )
    told = harness("run", "s.yaml", "--set", "base.preprocessing=native")
    assert told.code == 0, told.err
    (report,) = Path("mlruns/reports").rglob("report.md")
    inputs = pd.read_csv(report.with_name("inputs.csv")).set_index("backbone")
    assert dict(inputs["interpolation"]) == {"test_resnet": "bilinear", "tf_efficientnet_lite0": "bicubic"}
    crops = {backbone: crop.split(", ")[1] for backbone, crop in inputs["crop"].items()}
    assert crops == {"test_resnet": "0.95 of the shorter side", "tf_efficientnet_lite0": "0.875 of the shorter side"}
