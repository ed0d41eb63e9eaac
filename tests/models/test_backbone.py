from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub import constants
from timm.layers.drop import DropPath
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.backbone import Backbone, feature_shape, last_stages, load_backbone
from harness.models.examine import check_network
from harness.models.hub import check_hub
from harness.models.network_check import NetworkSettings
from harness.study.settings import Settings


def settings_of(backbone: str, weights: str = "none", image_size: int = 64) -> Settings:
    return Settings(backbone=backbone, weights=weights, image_size=image_size)


def features_of(network: nn.Module, images: Tensor) -> Tensor:
    """What timm itself gives before it pools."""
    features: Tensor = network.eval().forward_features(images)  # type: ignore[operator]
    return features


def state(backbone: Backbone) -> Tensor:
    return torch.cat([value.flatten().float() for value in backbone.state_dict().values()])


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("test_resnet", 64, (96, 2, 2)),
        ("test_efficientnet", 64, (256, 2, 2)),
        ("vgg11", 64, (512, 2, 2)),
        ("vgg11", 150, (512, 4, 4)),  # the map of the convolutions, where calling the model gives something else
        ("test_vit", 64, (64, 4, 4)),  # 16 patches; the class token is no place of a map
        ("test_convnext", 64, (64, 2, 2)),
        ("swin_tiny_patch4_window7_224", 64, (768, 2, 2)),  # channels last in timm
    ],
)
def test_every_kind_of_backbone_gives_a_map_of_features(name: str, size: int, shape: tuple[int, int, int]) -> None:
    backbone = load_backbone(settings_of(name, image_size=size), seed=0)
    assert feature_shape(backbone, size) == shape
    backbone.eval()
    with torch.inference_mode():
        assert backbone(torch.randn(2, 3, size, size)).shape == (2, *shape)


def test_the_features_are_those_of_timm_before_pooling() -> None:
    backbone = load_backbone(settings_of("test_resnet"), seed=0).eval()
    whole = timm.create_model("test_resnet", num_classes=7)
    whole.load_state_dict(backbone.network.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(images), features_of(whole, images))


def test_the_tokens_of_the_patches_become_a_map_on_their_grid() -> None:
    backbone = load_backbone(settings_of("test_vit"), seed=0).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        tokens = features_of(backbone.network, images)[:, 1:]
        torch.testing.assert_close(backbone(images), tokens.transpose(1, 2).reshape(2, 64, 4, 4))


@pytest.mark.parametrize(
    ("name", "mean"), [("resnet18", (0.485, 0.456, 0.406)), ("tf_efficientnet_lite0", (0.5, 0.5, 0.5))]
)
def test_images_are_normalised_as_the_backbones_own_config_says(name: str, mean: tuple[float, ...]) -> None:
    backbone = load_backbone(settings_of(name), seed=0)
    assert backbone.mean == mean
    assert backbone.std == {0.485: (0.229, 0.224, 0.225), 0.5: (0.5, 0.5, 0.5)}[mean[0]]


def test_drawn_weights_follow_the_seed_and_nothing_else() -> None:
    torch.manual_seed(1)
    first = state(load_backbone(settings_of("test_resnet"), seed=0))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = state(load_backbone(settings_of("test_resnet"), seed=0))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, state(load_backbone(settings_of("test_resnet"), seed=1)))


def test_real_weights_load_and_normalise_with_one_half(lite0_weights: Path) -> None:
    settings = settings_of("tf_efficientnet_lite0", str(lite0_weights), 150)
    backbone = load_backbone(settings, seed=0)
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)
    assert feature_shape(backbone, 150) == (1280, 5, 5)
    stored = safetensors.torch.load_file(lite0_weights)
    loaded = backbone.network.state_dict()
    assert len(loaded) > 200
    assert all(torch.equal(value, stored[name]) for name, value in loaded.items())


def test_a_weights_file_of_the_same_network_gives_its_features(tmp_path: Path) -> None:
    original = timm.create_model("test_resnet", num_classes=1000)
    safetensors.torch.save_file(original.state_dict(), tmp_path / "own.safetensors")
    backbone = load_backbone(settings_of("test_resnet", str(tmp_path / "own.safetensors")), seed=0)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.eval()(images), features_of(original, images))


@pytest.mark.parametrize("content", ["other network", "text", "empty"])
def test_a_weights_file_that_does_not_fit_is_an_error_of_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wrong.safetensors"
    if content == "other network":
        safetensors.torch.save_file(timm.create_model("test_efficientnet").state_dict(), path)
    else:
        path.write_text("no weights" if content == "text" else "")
    with pytest.raises(HarnessError, match=r"wrong\.safetensors cannot be loaded into test_resnet: .") as error:
        load_backbone(settings_of("test_resnet", str(path)), seed=0)
    assert "\n" not in str(error.value)


def test_a_missing_weights_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"cannot be loaded into test_resnet: ."):
        load_backbone(settings_of("test_resnet", str(tmp_path / "nowhere.safetensors")), seed=0)


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that has no weights of the hub and cannot reach it: nothing listens on port 9."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return monkeypatch


@pytest.mark.parametrize("offline", [True, False], ids=["HF_HUB_OFFLINE", "no answer"])
def test_a_hub_that_cannot_be_reached_says_what_to_do(no_hub: pytest.MonkeyPatch, offline: bool) -> None:
    no_hub.setattr(constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(HarnessError, match=r"weights of resnet50\.tv_in1k .* --set base\.weights=PATH\.safetensors"):
        load_backbone(settings_of("resnet50.tv_in1k", "imagenet"), seed=0)


def test_weights_that_are_on_this_machine_need_no_hub(no_hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert no_hub
    snapshot = tmp_path / "hub/models--timm--resnet50.tv_in1k/snapshots/0"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("0")
    check_hub("resnet50.tv_in1k")


def test_a_backbone_without_imagenet_weights_is_refused() -> None:
    with pytest.raises(HarnessError, match="no pretrained weights for resnet200; name a tag"):
        check_hub("resnet200")


@pytest.mark.parametrize(
    ("name", "trainable", "first", "frozen"),
    [
        ("test_resnet", "last-1", "layer4.0.conv1.weight", "layer3.0.conv1.weight"),
        ("test_resnet", "last-2", "layer3.0.conv1.weight", "layer2.0.conv1.weight"),
        ("vgg11", "last-1", "features.18.weight", "features.16.weight"),  # timm's classifier behind it is no stage
        ("test_vit", "last-1", "blocks.5.norm1.weight", "blocks.4.attn.proj.weight"),
        ("test_convnext", "last-1", "stages.3.downsample.0.weight", "stages.2.blocks.0.conv_dw.weight"),
        ("test_efficientnet", "last-1", "blocks.4.0.conv_pw.weight", "blocks.3.0.conv_pw.weight"),
    ],
)
def test_of_last_n_the_last_stages_alone_are_trained(name: str, trainable: str, first: str, frozen: str) -> None:
    backbone = load_backbone(settings_of(name).model_copy(update={"trainable": trainable}), seed=0)
    trained = {key: parameter.requires_grad for key, parameter in backbone.network.named_parameters()}
    assert trained[first]
    assert not trained[frozen]
    assert not any(list(trained.values())[: list(trained).index(first)])
    images = torch.randn(4, 3, 64, 64)
    backbone.train()(images).square().sum().backward()
    without = [key for key, p in backbone.network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_frozen_batch_norm_keeps_its_statistics_and_trained_batch_norm_does_not() -> None:
    backbone = load_backbone(settings_of("test_resnet").model_copy(update={"trainable": "last-1"}), seed=0)
    before = {key: value.clone() for key, value in backbone.network.state_dict().items()}
    for mode in (True, False, True):
        backbone.train(mode)
    backbone(torch.randn(4, 3, 64, 64))
    moved = {key for key, value in backbone.network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert {key.partition(".")[0] for key in moved} == {"layer4"}


@pytest.mark.parametrize("trainable", ["last-5", "last-6"])
def test_more_stages_than_there_are_are_refused(trainable: str) -> None:
    with pytest.raises(HarnessError, match=r"test_resnet has 5 stages; allowed: head, last-1 to last-4, all$"):
        last_stages(settings_of("test_resnet").model_copy(update={"trainable": trainable}))


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_paths_are_dropped_in_training_alone_at_the_rates_of_timm(backbone: str) -> None:
    settings = Settings(backbone=backbone, weights="none", image_size=160, drop_path=0.5)
    plain, dropped = (load_backbone(settings.model_copy(update={"drop_path": rate}), 0) for rate in (0.0, 0.5))
    rates = [module.drop_prob for module in dropped.modules() if isinstance(module, DropPath)]
    assert max(rates) == 0.5 and rates == sorted(rates)
    images = torch.rand(4, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    for module in (*plain.modules(), *dropped.modules()):
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm begins with zeros behind the paths, which are then nothing to drop
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), dropped.eval()(images))
        assert not torch.equal(plain.train()(images), dropped.train()(images))


def test_a_network_without_paths_to_drop_is_refused_in_one_line() -> None:
    check = check_network(NetworkSettings("vgg11", "none", "all", 224, "map", drop_path=0.1))
    assert (check.setting, check.problem) == (
        "drop_path", "drop_path 0.1: timm drops no paths of vgg11; write drop_path: 0",
    )  # fmt: skip
