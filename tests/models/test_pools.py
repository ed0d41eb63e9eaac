"""Every pool of a backbone, held against timm's own pooling and against means taken by hand, with real numbers."""

import pytest
import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.anatomy import anatomy
from harness.models.backbone import Backbone, anatomy_of, load_backbone
from harness.models.examine import check_network
from harness.models.layouts import Layout
from harness.models.network_check import NetworkSettings
from harness.study.allowed import Pool
from harness.study.settings import Settings

VECTORS: tuple[Pool, ...] = ("native", "avg", "max", "cls", "cls+avg")
ALL = ("test_vit", 64, set(VECTORS))


def backbone_of(name: str, size: int, pool: Pool) -> Backbone:
    return load_backbone(Settings(backbone=name, weights="none", image_size=size, pool=pool), seed=0).eval()


def images_of(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "size", "pools"),
    [
        ALL,
        ("vit_small_patch14_reg4_dinov2", 28, set(VECTORS)),
        ("deit_tiny_distilled_patch16_224", 32, set(VECTORS)),
        ("xcit_nano_12_p16_224", 32, set(VECTORS)),
        ("test_vit2", 64, {"native", "avg", "max"}),  # a register token, and none of the class
        ("test_vit3", 64, {"native", "avg", "max"}),  # pooled by attention
        ("test_resnet", 64, {"native", "avg", "max"}),
        ("test_convnext", 64, {"native", "avg", "max"}),
        ("swin_tiny_patch4_window7_224", 64, {"native", "avg", "max"}),
        ("resnet50_clip", 64, {"native", "avg", "max"}),
        ("small-cnn", 64, {"native", "avg", "max"}),
        ("volo_d1_224", 64, {"native", "cls"}),  # timm does not say where its other tokens stand
        ("pit_ti_224", 64, {"native", "cls"}),
        ("crossvit_tiny_240", 240, {"native"}),  # two lists of tokens
        ("efficientvim_m1", 64, {"native"}),
    ],
)
def test_a_pool_that_a_network_does_not_have_is_refused_with_those_that_it_has(
    name: str, size: int, pools: set[str]
) -> None:
    for pool in VECTORS:
        if pool in pools:
            assert anatomy(name, size, pool).shape[1:] == (1, 1)
            continue
        check = check_network(NetworkSettings(name, "none", "head", size, pool))
        assert check.setting == "pool"
        assert check.problem.startswith(f"{name}: pool {pool}: this network has map, native")
        assert set(check.problem.partition("has ")[2].split(", ")) == pools | {"map"}


def test_an_encoder_of_maps_has_no_pooling_of_its_own() -> None:
    name = "mobilenetv5_300m_enc"
    check = check_network(NetworkSettings(name, "none", "head", 64, "native"))
    assert check.setting == "pool"
    assert check.problem == f"{name}: pool native: this network has map, avg, max"
    assert anatomy(name, 64, "avg").shape == (2048, 1, 1)


@pytest.mark.parametrize(
    ("name", "size", "prefix"),
    [("test_vit", 64, 1), ("vit_small_patch14_reg4_dinov2", 28, 5), ("deit_tiny_distilled_patch16_224", 32, 2)],
)
def test_class_token_and_mean_of_tokens_are_those_of_the_patches_alone(name: str, size: int, prefix: int) -> None:
    found = {pool: backbone_of(name, size, pool) for pool in VECTORS}
    images = images_of(size)
    with torch.inference_mode():
        tokens = found["avg"].network.forward_features(images)  # type: ignore[operator]
        vectors = {pool: backbone(images)[..., 0, 0] for pool, backbone in found.items()}
    patches = tokens[:, prefix:]
    torch.testing.assert_close(vectors["cls"], tokens[:, 0])
    torch.testing.assert_close(vectors["avg"], patches.mean(dim=1))
    torch.testing.assert_close(vectors["max"], patches.max(dim=1).values)
    torch.testing.assert_close(vectors["cls+avg"], torch.cat([tokens[:, 0], patches.mean(dim=1)], dim=1))


@pytest.mark.parametrize("name", ["test_resnet", "swin_tiny_patch4_window7_224"])
def test_the_mean_of_a_map_is_over_its_places_in_any_order_of_dimensions(name: str) -> None:
    whole, mean, most = (backbone_of(name, 64, pool) for pool in ("map", "avg", "max"))
    images = images_of(64)
    with torch.inference_mode():
        maps = whole(images)
        torch.testing.assert_close(mean(images), maps.mean(dim=(2, 3), keepdim=True))
        torch.testing.assert_close(most(images), maps.amax(dim=(2, 3), keepdim=True))


def test_a_norm_behind_the_pooling_normalises_every_pool() -> None:
    backbone, images = backbone_of("test_vit2", 64, "avg"), images_of(64)
    norm = backbone.network.fc_norm
    assert isinstance(norm, nn.LayerNorm)
    nn.init.normal_(norm.weight)
    with torch.inference_mode():
        tokens = backbone.network.forward_features(images)  # type: ignore[operator]
        torch.testing.assert_close(backbone(images)[..., 0, 0], norm(tokens[:, 1:].mean(dim=1)))
        native = backbone.in_layouts(images, ["pooled"])[0]
    torch.testing.assert_close(backbone(images), native)  # the mean is how timm pools this one


@pytest.mark.parametrize("name", ["test_vit", "test_vit3", "test_convnext", "deit_tiny_distilled_patch16_224"])
def test_several_pools_of_one_pass_are_bit_for_bit_those_of_passes_of_their_own(name: str) -> None:
    pools: list[Pool] = [pool for pool in ("map", *VECTORS) if _has(name, pool)]
    settings = Settings(backbone=name, weights="none", image_size=64, pool="map")
    layouts: list[Layout] = [anatomy_of(settings.model_copy(update={"pool": pool})).layout for pool in pools]
    backbone, images = load_backbone(settings, 0, pools).eval(), images_of(64)
    alone = [backbone_of(name, 64, pool) for pool in pools]
    with torch.inference_mode():
        for one, features in zip(alone, backbone.in_layouts(images, layouts), strict=True):
            assert torch.equal(features, one(images)), one.layout


def _has(name: str, pool: Pool) -> bool:
    try:
        anatomy(name, 64, pool)
    except HarnessError:
        return False
    return True


def test_what_a_pool_does_not_read_is_neither_loaded_nor_counted() -> None:
    native, mean = (anatomy("test_vit3", 64, pool) for pool in ("native", "avg"))
    pooling = {name for name in native.read if name.startswith("attn_pool.")}
    assert pooling
    assert native.read.keys() - mean.read.keys() == pooling
    loaded = {name for name, _ in backbone_of("test_vit3", 64, "avg").named_parameters()}
    assert not any("attn_pool" in name for name in loaded)
