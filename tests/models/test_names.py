import subprocess
import sys

import pytest
import timm
from torch import nn

from harness.models.heads import make_head
from harness.models.names import HEADS, all_backbones, known_backbone
from harness.study.settings import Settings


@pytest.mark.parametrize("name", HEADS)
def test_every_name_of_a_head_leads_to_a_module(name: str) -> None:
    assert isinstance(make_head(Settings(backbone="test_resnet", head=name), (4, 2, 2), 2), nn.Module)


@pytest.mark.parametrize(
    "name",
    ["resnet50.tv_in1k", "resnet101.tv_in1k", "resnet152.tv_in1k", "vgg16.tv_in1k", "vgg16", "tf_efficientnet_lite0",
     "test_resnet", "test_efficientnet", "test_vit", "resnet18"],
)  # fmt: skip
def test_backbones_of_studies_are_known(name: str) -> None:
    assert known_backbone(name)


def test_every_model_of_timm_is_known_with_and_without_its_tag() -> None:
    names = {*timm.list_models(), *timm.list_models(pretrained=True)}
    assert len(names) > 1000
    assert {name for name in names if not known_backbone(name)} == set()
    assert names <= all_backbones()


@pytest.mark.parametrize("name", ["resnet5O", "resnet50.no_such_tag", "", "resnet50.", "os", "cfg"])
def test_what_is_no_model_of_timm_is_not_known(name: str) -> None:
    assert not known_backbone(name)


def test_common_names_are_checked_without_importing_timm_or_torch() -> None:
    code = """
import sys
from harness.models.names import HEADS, known_backbone
assert known_backbone("resnet50.tv_in1k") and known_backbone("test_resnet") and "dropout-gap" in HEADS
assert not {"timm", "torch"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
