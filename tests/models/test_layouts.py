"""What a backbone gives of an image, held against timm's own pooling with real numbers."""

import re

import pytest
import timm
import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.anatomy import anatomy
from harness.models.backbone import load_backbone
from harness.models.layouts import prefix_tokens
from harness.study.settings import Settings


def loaded(name: str, size: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, images for it, and the backbone's features of them."""
    backbone = load_backbone(Settings(backbone=name, weights="none", image_size=size), seed=0).eval()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return backbone.network, images, backbone(images)


@pytest.mark.parametrize(
    ("name", "size", "layout"),
    [
        ("test_resnet", 64, "map"),
        ("test_convnext", 64, "map"),
        ("inception_next_atto", 64, "map"),  # timm does not take its pooling away
        ("efficientvit_b0", 64, "map"),
        ("test_vit", 64, "tokens"),
        ("deit_tiny_distilled_patch16_224", 32, "tokens"),
        ("vit_small_patch14_reg4_dinov2", 28, "tokens"),
        ("mixer_s32_224", 224, "tokens"),
        ("test_vit2", 64, "pooled"),  # a norm behind the mean of the tokens
        ("test_vit3", 64, "pooled"),  # pooled by attention
        ("beit_base_patch16_224", 32, "pooled"),
        ("resnet50_clip", 64, "pooled"),
        ("hiera_tiny_224", 224, "pooled"),
        ("cait_xxs24_224", 32, "pooled"),  # the last blocks are of the class token alone
        ("xcit_nano_12_p16_224", 32, "pooled"),
        ("volo_d1_224", 64, "pooled"),
        ("pit_ti_distilled_224", 64, "pooled"),
        ("coat_lite_tiny", 64, "pooled"),
        ("crossvit_tiny_240", 240, "pooled"),
        ("efficientvim_m1", 64, "pooled"),
    ],
)
def test_every_family_is_read_by_the_rule(name: str, size: int, layout: str) -> None:
    assert anatomy(name, size).layout == layout


@pytest.mark.parametrize(
    ("name", "size"),
    [("test_vit2", 64), ("test_vit3", 64), ("xcit_nano_12_p16_224", 32), ("pit_ti_distilled_224", 64),
     ("coat_lite_tiny", 64), ("efficientvim_m1", 64)],
)  # fmt: skip
def test_a_pooled_feature_is_timms_own(name: str, size: int) -> None:
    network, images, features = loaded(name, size)
    with torch.inference_mode():
        torch.testing.assert_close(features, network(images)[..., None, None])


@pytest.mark.parametrize(
    ("name", "size", "prefix"), [("deit_tiny_distilled_patch16_224", 32, 2), ("vit_small_patch14_reg4_dinov2", 28, 5)]
)
def test_class_distillation_and_register_tokens_are_no_places(name: str, size: int, prefix: int) -> None:
    network, images, features = loaded(name, size)
    assert prefix_tokens(network) == prefix
    with torch.inference_mode():
        tokens = network.forward_features(images)  # type: ignore[operator]
    torch.testing.assert_close(features.flatten(2), tokens[:, prefix:].transpose(1, 2))


TOKENS = ["test_vit", "convit_tiny", "tnt_s_legacy_patch16_224", "mvitv2_small_cls", "vit_small_patch16_dinov3"]


@pytest.mark.parametrize("name", TOKENS)
def test_where_tokens_are_read_no_trained_parameter_is_lost(name: str) -> None:
    """With real numbers, in which a gradient of nothing but zeros says that nothing is read."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0, img_size=64).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter.requires_grad_(), std=0.05)
    images = torch.randn(1, 3, 64, 64)
    tokens = network.forward_features(images)[:, prefix_tokens(network) :]  # type: ignore[operator]
    assert felt(network, network(images)) <= felt(network, tokens)


def felt(network: nn.Module, output: Tensor) -> set[str]:
    """The parameters that move these values."""
    names, parameters = zip(*network.named_parameters(), strict=True)
    weighted = (output * torch.randn_like(output)).sum()
    gradients = torch.autograd.grad(weighted, parameters, allow_unused=True)
    return {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None and gradient.any()}


def test_blocks_of_the_class_token_alone_would_be_lost_among_the_tokens() -> None:
    """What the rule is there for: CaiT's last blocks, which gradients in shapes alone do not tell from the others."""
    torch.manual_seed(0)
    network = timm.create_model("cait_xxs24_224", num_classes=0, img_size=32)
    tokens = network.forward_features(torch.randn(1, 3, 32, 32))[:, 1:]  # type: ignore[operator]
    assert not any(name.startswith("blocks_token_only") for name in felt(network, tokens))
    assert any(name.startswith("blocks_token_only") for name in anatomy("cait_xxs24_224", 32).read)


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [("vit_tiny_patch16_224", 8, "Kernel size"), ("crossvit_tiny_240", 64, "broadcast"), ("halonet_h1", 224, ".")],
)
def test_a_size_that_a_backbone_does_not_take_is_refused_by_the_reason(name: str, size: int, reason: str) -> None:
    with pytest.raises(HarnessError, match=reason) as error:
        load_backbone(Settings(backbone=name, weights="none", image_size=size), seed=0)
    assert re.match(rf"{name} does not take images of {size} px: .", str(error.value))


@pytest.mark.parametrize(
    ("name", "size", "unread"),
    [("test_vit", 64, 0), ("vit_small_patch14_dinov2", 150, 1 - (140 / 150) ** 2), ("test_resnet", 61, 0),
     ("mixer_s32_224", 224, 0), ("convmixer_768_32", 60, 1 - (56 / 60) ** 2)],
)  # fmt: skip
def test_what_a_grid_of_patches_leaves_out_is_known(name: str, size: int, unread: float) -> None:
    assert anatomy(name, size).unread == pytest.approx(unread)


@pytest.mark.parametrize("name", ["vgg11", "mobilenetv4_conv_small"])
def test_what_nothing_reads_is_taken_off(name: str) -> None:
    backbone = load_backbone(Settings(backbone=name, weights="none", image_size=64), seed=0)
    held = {key for key, _ in backbone.network.named_parameters()}
    assert held == anatomy(name, 64).read.keys()
    assert sum(p.numel() for p in timm.create_model(name, num_classes=0).parameters()) > sum(
        p.numel() for p in backbone.parameters()
    )


def test_what_all_blocks_share_is_no_last_stage() -> None:
    known = anatomy("vit_small_patch16_rope_mixed_224", 32)
    assert len(known.stages) == 13
    assert {name.split(".")[0] for name in known.stages[-1]} == {"blocks", "norm", "rope"}


@pytest.mark.parametrize(
    "name", ["swin_tiny_patch4_window7_224", "resnetv2_18", "densenet121", "vgg11_bn", "swiftformer_xs"]
)
def test_no_stage_is_a_norm_alone(name: str) -> None:
    known = anatomy(name, 64)
    assert len(known.stages) > 2
    assert min(map(known.size, known.stages)) > 1_000
    assert known.size(known.stages[-1]) > 0.1 * sum(known.read.values())
    assert frozenset().union(*known.stages) == known.read.keys()


@pytest.mark.parametrize(
    ("name", "last", "count"),
    [("poolformer_s12", {"stages.3"}, 5), ("pit_ti_224", {"transformers.2", "norm"}, 4),
     ("rdnet_tiny", {"dense_stages.6"}, 8), ("csatv2", {"stages.3"}, 5)],
)  # fmt: skip
def test_where_timm_tells_no_stages_they_are_the_parts_of_the_network(name: str, last: set[str], count: int) -> None:
    stages = anatomy(name, 64).stages
    assert len(stages) == count
    assert frozenset().union(*stages) == anatomy(name, 64).read.keys()
    assert {re.match(r"\w+\.\d+|\w+", key)[0] for key in stages[-1]} == last  # type: ignore[index]
