"""Weights that are cast together give the bits of weights that autocast casts one by one."""

import pytest
import torch
from torch import Tensor, nn

from harness.models.backbone import Backbone, load_backbone
from harness.study.settings import ResolvedSettings
from harness.training.casts import CastWeights

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)


def backbone_of(name: str, trainable: str = "all") -> Backbone:
    size = 160 if name == "test_vit" else 64
    settings = ResolvedSettings(backbone=name, weights="none", image_size=size, trainable=trainable)
    return load_backbone(settings, 0).put_on(torch.device("cpu")).train()


def trained(backbone: Backbone, forward: nn.Module | CastWeights, size: int) -> dict[str, Tensor]:
    """The features and the gradients of one step."""
    torch.manual_seed(0)
    images = nn.functional.interpolate(IMAGES, size=size)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = forward(images)
    features.float().square().mean().backward()
    gradients = {name: p.grad for name, p in backbone.named_parameters() if p.grad is not None}
    assert gradients
    return {"features": features.detach(), **gradients}


@pytest.mark.parametrize(
    ("name", "trainable"),
    [("test_resnet", "all"), ("test_resnet", "last-1"), ("test_efficientnet", "all"), ("test_vit", "all")],
)
def test_features_and_gradients_are_those_of_autocast(name: str, trainable: str) -> None:
    plain, other = backbone_of(name, trainable), backbone_of(name, trainable)
    size = 160 if name == "test_vit" else 64
    expected, found = trained(plain, plain, size), trained(other, CastWeights(other, torch.bfloat16), size)
    assert found.keys() == expected.keys(), "what is frozen has no gradient"
    assert (expected["features"].dtype == torch.bfloat16) == (name != "test_vit"), "its last layer is a norm, in fp32"
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
        assert found[key].dtype == value.dtype
    for buffer, before in zip(other.buffers(), plain.buffers(), strict=True):
        assert torch.equal(buffer, before), "the running statistics are the module's own"


def test_the_weights_of_now_are_cast_in_every_step() -> None:
    backbone = backbone_of("test_resnet").eval()
    cast = CastWeights(backbone, torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        before = cast(IMAGES)
        for parameter in backbone.parameters():
            parameter.mul_(0.5)
        assert not torch.equal(cast(IMAGES), before)
        assert torch.equal(cast(IMAGES), backbone(IMAGES))


def test_what_a_subclass_does_with_its_weight_first_is_done_in_fp32() -> None:
    """NFNet standardises its weights; in bf16 the result would be another."""
    plain, other = backbone_of("test_nfnet"), backbone_of("test_nfnet")
    expected, found = trained(plain, plain, 64), trained(other, CastWeights(other, torch.bfloat16), 64)
    assert all(torch.equal(found[key], value) for key, value in expected.items())
