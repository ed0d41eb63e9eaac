from collections.abc import Callable
from pathlib import Path

from harness.models.network_check import NetworkCheck, NetworkSettings
from harness.study import Study
from harness.training.preflight import Networks, study_networks

STUDY = """\
study: demo
data: {source: phantom, image_size: 64}
base: {backbone: resnet18, weights: none}
"""
TWO = """\
stages:
  - name: backbones
    grid: {backbone: [resnet18, vgg11, majority, small-cnn], head: [dropout-gap, batchnorm-gap]}
    select: {metric: val/accuracy}
  - name: depths
    grid: {trainable: [head, last-1]}
  - name: sizes
    grid: {image_size: [null, 96]}
"""
SEARCH = """\
stages: [{name: one}]
search:
  trials: 4
  space:
    backbone: {choices: [resnet18, vgg11]}
    image_size: {low: 32, high: 96, step: 32, when: {backbone: [vgg11]}}
"""
StudyOf = Callable[..., Study]


def seen(study: Study) -> list[tuple[str, str, int]]:
    return [(network.backbone, network.trainable, network.image_size) for network in study_networks(study)]


def test_every_network_that_a_winner_may_bring_is_checked_once(study_of: StudyOf) -> None:
    """A stage without `select` passes nothing on."""
    found = seen(study_of(STUDY + TWO))
    assert len(found) == len(set(found))
    assert {each[0] for each in found} == {"resnet18", "vgg11", "small-cnn"}
    assert {each for each in found if each[0] == "vgg11"} == {
        ("vgg11", "all", 64), ("vgg11", "head", 64), ("vgg11", "last-1", 64), ("vgg11", "all", 96)
    }  # fmt: skip
    assert [each[1:] for each in found if each[0] == "small-cnn"] == [("all", 64), ("all", 96)]


def test_a_search_is_checked_in_all_sizes_of_a_short_range_and_the_ends_of_a_long_one(study_of: StudyOf) -> None:
    found = seen(study_of(STUDY + SEARCH))
    assert set(found) == {("resnet18", "all", 64), *(("vgg11", "all", size) for size in (32, 64, 96))}
    long = seen(study_of(STUDY + SEARCH, "search.space.image_size={low: 32, high: 640, step: 4}"))
    assert {each[2] for each in long if each[0] == "vgg11"} == {32, 640}


def test_layers_of_attention_that_cannot_be_adapted_are_named() -> None:
    network = NetworkSettings("beit_base_patch16_224", "none", "lora-8", 224, "native")
    check = NetworkCheck(stage="attn.proj", unadapted="attn.qkv")
    (line,) = Networks({network: check}, {network: Path()}).remarks
    assert line.startswith("beit_base_patch16_224 with trainable lora-8: its attention reads the weights of attn.qkv ")
    assert line.endswith("only attn.proj is adapted")
