"""`image_size: native`: each backbone gets images of the size that its weights were trained with."""

import json
import shutil
from pathlib import Path

from tests.field.conftest import Harness, four, write_study


def test_each_backbone_gets_images_of_the_size_of_its_weights(harness: Harness) -> None:
    four(4)
    write_study(grid="{backbone: [test_resnet, resnet18, tf_efficientnet_lite2, small-cnn], image_size: [native, 48]}")
    found = json.loads(harness("plan", "s.yaml", "--json").out)["networks"]
    sizes = {(network["backbone"], network["image_size"]) for network in found}
    own = {("test_resnet", 160), ("resnet18", 224), ("tf_efficientnet_lite2", 260), ("small-cnn", 32)}
    assert sizes == own | {(name, 48) for name, _ in own}


def test_images_are_decoded_at_the_sizes_that_are_read_alone(harness: Harness) -> None:
    four(4)
    write_study(grid="{backbone: [{name: test_resnet, image_size: native}, {name: small-cnn, image_size: 40}]}")
    told = harness("run", "s.yaml", "--set", "base.epochs=1", "--set", "test=null").err
    assert {line.partition(":")[0] for line in told.splitlines() if line.startswith("images decoded at")} == {
        "images decoded at 160 px", "images decoded at 40 px", "images decoded at 32 px",  # the last for the audit
    }  # fmt: skip


def test_a_native_size_is_the_same_work_as_its_number_and_read_again_without_images(harness: Harness) -> None:
    four(8)
    write_study(trainable="head")
    assert harness("run", "s.yaml", "--set", "base.image_size=native").code == 0
    by_number = harness("plan", "s.yaml", "--set", "base.image_size=160")
    assert "jobs: 2 known, 2 done" in " ".join(by_number.out.split())
    shutil.rmtree("d")
    told = harness("status", "s.yaml", "--set", "base.image_size=native")
    assert told.code == 0, told.err
    (report,) = Path("mlruns/reports").rglob("index.html")
    assert "160" in report.read_text()
    assert harness("verify").code == 0


def test_a_size_that_is_no_number_and_not_native_is_refused(harness: Harness) -> None:
    four(4)
    write_study()
    line = harness.refused("plan", "s.yaml", "--set", "base.image_size=nativ")
    assert line.startswith("error: --set base.image_size=nativ: base.image_size: ")
    assert "native" in line
