"""Backbones that do not take the images, or have no such stages: refused at the start, with what goes."""

import json
from pathlib import Path

import pytest

from tests.field.conftest import Harness, four, write_study


@pytest.mark.parametrize(
    ("backbone", "size", "goes"),
    [
        ("crossvit_tiny_240", 64, "240"),
        pytest.param("inception_v3", 48, "96, 128, 299", marks=pytest.mark.long),
        pytest.param("vit_tiny_patch16_224", 8, "32", marks=pytest.mark.long),
        ("hiera_tiny_224", 150, "224"),
    ],
)
def test_a_size_that_a_backbone_does_not_take_is_refused_at_plan(
    harness: Harness, backbone: str, size: int, goes: str
) -> None:
    four(4)
    write_study(backbone=backbone, size=size)
    line = harness.refused("plan", "s.yaml")
    assert line.startswith(f"error: s.yaml:4: base.backbone: {backbone} does not take images of {size} px: ")
    assert "; sizes that work: " in line
    assert goes in line
    assert not Path("mlruns").exists()


@pytest.mark.parametrize("command", ["run", pytest.param("search", marks=pytest.mark.long)])
def test_nothing_is_begun_where_a_later_stage_could_not_be(harness: Harness, command: str) -> None:
    """The second stage's size, on the backbone that may win the first."""
    four(4)
    stages = "{head: [dropout-gap]}\n    select: {metric: val/accuracy}\n  - name: b\n    grid: {image_size: [64, 240]}"
    search = "search: {trials: 2, space: {image_size: {choices: [32, 48]}}}"
    write_study(backbone="crossvit_tiny_240", size=240, grid=stages, test=search if command == "search" else "")
    line = harness.refused(command, "s.yaml")
    assert ": stages[1].grid.image_size[0]: crossvit_tiny_240 does not take images of 64 px: " in line
    assert not Path("mlruns").exists()


@pytest.mark.parametrize(
    ("backbone", "trainable", "words"),
    [("poolformer_s12", "last-5", "poolformer_s12 has 5 stages; allowed: head, last-1 to last-4, all"),
     ("test_resnet", "last-9", "test_resnet has 5 stages; allowed: head, last-1 to last-4, all"),
     ("test_resnet", "lora-8", "test_resnet has no attention with linear layers of more than 8 inputs and outputs;"
      " allowed: head, last-1 to last-4, all, or a transformer")],
)  # fmt: skip
def test_stages_and_attention_that_a_backbone_lacks_are_refused_at_plan(
    harness: Harness, backbone: str, trainable: str, words: str
) -> None:
    four(4)
    write_study(backbone=backbone, size=64, trainable=trainable)
    line = harness.refused("plan", "s.yaml")
    assert line == f"error: s.yaml:4: base.trainable: trainable {trainable}: {words}"


def test_pretrained_weights_that_timm_does_not_have_are_refused_at_plan(harness: Harness) -> None:
    four(4)
    write_study(backbone="resnet200", size=64)
    line = harness.refused("plan", "s.yaml", "--set", "base.weights=imagenet")
    assert line.startswith("error: --set base.weights=imagenet: base.weights: timm has no pretrained weights for resn")


def test_the_plan_says_how_a_network_is_read_and_what_is_trained(harness: Harness) -> None:
    four(4)
    write_study(backbone="vit_tiny_patch16_224", size=50, grid="{trainable: [head, last-1, lora-4, all]}")
    text = " ".join(harness("plan", "s.yaml").out.split())
    assert "patch tokens, 192 x 3 x 3" in text
    assert "last-1: blocks.11, norm 445,248" in text
    assert "lora-4: attn.qkv, attn.proj 55,296" in text
    assert "vit_tiny_patch16_224 at 50 px: its patches leave 7.8% of each image unread" in text
    head, last, _, whole = json.loads(harness("plan", "s.yaml", "--json").out)["networks"]
    assert (head["trained_parameters"], last["trained_parameters"]) == (0, 445_248)
    assert whole["trained_parameters"] == whole["parameters"] == head["parameters"]


@pytest.mark.long
@pytest.mark.long
def test_a_plan_in_a_process_of_its_own_refuses_too_and_keeps_what_it_found(harness: Harness) -> None:
    four(4)
    write_study(backbone="crossvit_tiny_240", size=64)
    ended = harness.apart("plan", "s.yaml")
    assert (ended.code, "sizes that work: 240" in ended.err, Path("mlruns").exists()) == (2, True, False)
    write_study()
    assert harness.apart("plan", "s.yaml").code == 0
    (kept,) = Path("mlruns/cache/networks").iterdir()
    kept.write_text(kept.read_text().replace('"layout": "map"', '"layout": "pooled"'))
    assert "its own pooled" in harness("plan", "s.yaml").out


@pytest.mark.parametrize(
    "backbone", ["deit_tiny_distilled_patch16_224", pytest.param("efficientvim_m1", marks=pytest.mark.long)]
)
def test_names_that_never_worked_run_to_a_report(harness: Harness, backbone: str) -> None:
    four(4)
    write_study(backbone=backbone, size=64)
    assert harness("run", "s.yaml", "--executor", "inline").code == 0
    assert Path("mlruns/reports/s/index.html").is_file()
