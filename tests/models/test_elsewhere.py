"""Backbones of transformers, open_clip and timm's hub, held against what each library itself computes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.models import repositories
from harness.models.backbone import Backbone, load_backbone
from harness.models.examine import check_network
from harness.models.network_check import NetworkSettings
from harness.models.networks import native_size
from harness.models.repositories import licence_of, source_words
from harness.study.allowed import Pool
from harness.study.origin import origin_of
from harness.study.settings import Settings
from tests.foreign_models import save_open_clip, save_timm, save_transformers

TOLERANCE = 1e-5
KINDS = ["ViTModel", "ViTForImageClassification", "DeiTModel", "Dinov2Model", "Dinov2WithRegistersModel",
         "SiglipModel", "CLIPModel", "SwinModel", "ConvNextModel"]  # fmt: skip


def loaded(backbone: str, pool: Pool, size: int | None = None, **more: Any) -> tuple[Backbone, Tensor, Tensor]:
    """The backbone with its weights, images of its size, and the features of them."""
    settings = Settings(backbone=backbone, pool=pool, image_size=size or native_size(backbone), **more)
    found = load_backbone(settings, seed=0).eval()
    side = settings.image_size
    assert isinstance(side, int)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return found, images, found(images).flatten(1)


def own_model(folder: Path) -> Any:
    """The vision model of a folder, loaded by transformers itself."""
    import transformers

    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    whole = getattr(transformers, kind).from_pretrained(folder).eval()
    return getattr(whole, "vision_model", whole.base_model)


@pytest.mark.parametrize("kind", KINDS)
def test_the_native_pool_of_transformers_is_its_own(kind: str, tmp_path: Path) -> None:
    folder = save_transformers(kind, tmp_path / "m")
    backbone, images, features = loaded(f"transformers:{folder}", "native")
    assert backbone.mean == (0.4, 0.5, 0.6)
    assert backbone.std == (0.2, 0.25, 0.3)
    with torch.inference_mode():
        found = own_model(folder)(images)
    expected = found.last_hidden_state[:, 0] if kind == "ViTForImageClassification" else found.pooler_output
    torch.testing.assert_close(features, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [("ViTModel", 1), ("DeiTModel", 2), ("Dinov2WithRegistersModel", 5), ("CLIPModel", 1), ("SwinModel", 0)],
)
def test_the_mean_and_the_class_token_are_of_its_last_hidden_state(kind: str, prefix: int, tmp_path: Path) -> None:
    folder = save_transformers(kind, tmp_path / "m")
    _, images, features = loaded(f"transformers:{folder}", "cls+avg" if prefix else "avg")
    with torch.inference_mode():
        tokens = own_model(folder)(images).last_hidden_state
    parts = [tokens[:, 0]] * bool(prefix) + [tokens[:, prefix:].mean(dim=1)]
    torch.testing.assert_close(features, torch.cat(parts, dim=1), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", ["ViTModel", "SiglipModel"])
def test_positions_are_interpolated_as_transformers_does(kind: str, tmp_path: Path) -> None:
    folder = save_transformers(kind, tmp_path / "m")
    _, images, features = loaded(f"transformers:{folder}", "native", 96)
    with torch.inference_mode():
        expected = own_model(folder)(images, interpolate_pos_encoding=True).pooler_output
    torch.testing.assert_close(features, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("tower", "size"), [("transformer", 64), ("transformer", 96), ("mean", 64), ("resnet", 64),
                                             ("timm", 160), ("timm", 96)])  # fmt: skip
def test_the_native_pool_of_open_clip_is_its_image_embedding(tower: str, size: int, tmp_path: Path) -> None:
    import open_clip

    folder = save_open_clip(tower, tmp_path / "m")
    backbone, images, features = loaded(f"open_clip:{folder}", "native", size)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}", force_image_size=size)
    with torch.inference_mode():
        expected = model.eval().encode_image(images)
    torch.testing.assert_close(features, expected, atol=TOLERANCE, rtol=0)
    assert backbone.mean == (0.4, 0.5, 0.6)


def test_a_folder_of_timm_gives_what_timm_gives(tmp_path: Path) -> None:
    folder = save_timm(tmp_path / "m")
    backbone, images, features = loaded(f"local-dir:{folder}", "native")
    own = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    with torch.inference_mode():
        torch.testing.assert_close(features, own(images), atol=TOLERANCE, rtol=0)
    assert backbone.std == (0.2, 0.25, 0.3)
    assert native_size(f"local-dir:{folder}") == 64


@pytest.mark.parametrize(
    ("kind", "first", "frozen"),
    [
        ("Dinov2Model", ["encoder.layer.2.", "layernorm."], "encoder.layer.1."),
        ("SwinModel", ["encoder.layers.3.", "layernorm."], "encoder.layers.2."),
        ("ConvNextModel", ["encoder.stages.3.", "layernorm."], "encoder.stages.2."),
        ("SiglipModel", ["encoder.layers.2.", "post_layernorm.", "head."], "encoder.layers.1."),
        ("transformer", ["transformer.resblocks.2.", "ln_post.", "proj"], "transformer.resblocks.1."),
        ("timm", ["trunk.blocks.5.", "trunk.norm.", "head.proj."], "trunk.blocks.4."),
        ("resnet", ["layer4.", "attnpool."], "layer3."),
    ],
)
def test_the_last_block_and_what_is_behind_it_are_trained(
    kind: str, first: list[str], frozen: str, tmp_path: Path
) -> None:
    if kind.endswith("Model"):
        backbone = f"transformers:{save_transformers(kind, tmp_path / 'm')}"
    else:
        backbone = f"open_clip:{save_open_clip(kind, tmp_path / 'm')}"
    side = native_size(backbone)
    settings = Settings(backbone=backbone, pool="native", image_size=side, trainable="last-1")
    network = load_backbone(settings, seed=0)
    parameters = dict(network.network.named_parameters())
    learnt = {name.removeprefix("model.") for name, parameter in parameters.items() if parameter.requires_grad}
    assert {next((part for part in first if name.startswith(part)), name) for name in learnt} == set(first)
    assert not parameters[next(name for name in parameters if name.startswith(f"model.{frozen}"))].requires_grad
    network.train()(torch.randn(2, 3, side, side)).square().sum().backward()
    assert [name for name, each in parameters.items() if each.requires_grad and each.grad is None] == []


def test_without_weights_the_architecture_is_drawn_by_the_seed(tmp_path: Path) -> None:
    name = f"transformers:{save_transformers('Dinov2Model', tmp_path / 'm')}"
    _, _, pretrained = loaded(name, "native")
    _, _, drawn = loaded(name, "native", weights="none")
    shutil.move(tmp_path / "m", tmp_path / "n")
    _, _, again = loaded(f"transformers:{tmp_path / 'n'}", "native", weights="none")
    assert torch.equal(drawn, again)
    assert not torch.allclose(drawn, pretrained)


def refusal(backbone: str, size: int = 64, pool: Pool = "native") -> tuple[str, str]:
    """The problem that a plan would name, and the setting."""
    check = check_network(NetworkSettings(backbone, "pretrained", "head", size, pool))
    assert "\n" not in check.problem
    return check.setting, check.problem


def test_a_folder_that_is_no_model_of_images_is_refused(tmp_path: Path) -> None:
    setting, problem = refusal(f"transformers:{save_transformers('BertModel', tmp_path / 'b')}")
    assert (setting, "is no model of images: bert reads input_ids" in problem) == ("backbone", True), problem
    _, problem = refusal(f"transformers:{save_transformers('ViTMAEModel', tmp_path / 'e')}")
    assert "vit_mae, which reads a part of each image, drawn at random" in problem


def test_a_folder_without_the_processor_of_its_images_is_refused(tmp_path: Path) -> None:
    folder = save_transformers("ViTModel", tmp_path / "m")
    (folder / "preprocessor_config.json").unlink()
    assert (
        "no preprocessor_config.json, so how its images are normalised is unknown"
        in refusal(f"transformers:{folder}")[1]
    )


def test_weights_that_do_not_fill_the_network_are_refused(tmp_path: Path) -> None:
    folder = save_transformers("ViTModel", tmp_path / "m")
    about = json.loads((folder / "config.json").read_text())
    for layers, words in ((4, "missing: model.layers.3."), (2, "the file is of another network: it has weights for")):
        (folder / "config.json").write_text(json.dumps(about | {"num_hidden_layers": layers}))
        setting, problem = refusal(f"transformers:{folder}")
        assert setting == "weights"
        assert words in problem


def test_a_pool_that_needs_no_pooler_needs_no_weights_for_it(tmp_path: Path) -> None:
    folder = save_transformers("ViTForImageClassification", tmp_path / "m")
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"architectures": ["ViTModel"]}))
    assert "missing: model.pooler.dense" in refusal(f"transformers:{folder}")[1]
    assert refusal(f"transformers:{folder}", pool="cls") == ("", "")


def test_a_size_that_a_model_cannot_take_is_refused_with_those_that_it_can(tmp_path: Path) -> None:
    setting, problem = refusal(f"open_clip:{save_open_clip('resnet', tmp_path / 'm')}", 96)
    assert setting == "image_size"
    assert problem.endswith("CLIP's attention pooling takes images of 64 px alone; sizes that work: 64")


@pytest.mark.parametrize("scheme", ["transformers", "open_clip", "local-dir"])
def test_what_is_no_folder_of_the_library_is_refused(scheme: str, tmp_path: Path) -> None:
    origin = origin_of(f"{scheme}:{tmp_path / 'x'}")
    assert origin is not None
    with pytest.raises(HarnessError, match="there is no folder"):
        repositories.folder_of(origin)
    (tmp_path / "x").mkdir()
    with pytest.raises(HarnessError, match=r"has no (open_clip_)?config\.json; "):
        repositories.folder_of(origin)
    (tmp_path / "x/config.json").write_text("{}")
    (tmp_path / "x/open_clip_config.json").write_text("{}")
    with pytest.raises(HarnessError, match=f"so it is no model of {origin.library}"):
        repositories.folder_of(origin)


def test_weights_are_asked_for_where_they_are_used(tmp_path: Path) -> None:
    folder = save_timm(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    origin = origin_of(f"local-dir:{folder}")
    assert origin is not None
    assert repositories.folder_of(origin) == folder
    with pytest.raises(HarnessError, match=r"has no weights, such as model\.safetensors; write weights: none"):
        repositories.folder_of(origin, weights=True)


def test_a_folder_of_another_library_says_which(tmp_path: Path) -> None:
    origin = origin_of(f"transformers:{save_timm(tmp_path / 'm')}")
    assert origin is not None
    with pytest.raises(HarnessError, match="it is of timm: write hf-hub:ORG/NAME or local-dir:FOLDER"):
        repositories.folder_of(origin)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "find_spec", lambda _: None)
    origin = origin_of("open_clip:microsoft/BiomedCLIP")
    assert origin is not None
    with pytest.raises(HarnessError, match=r"open_clip is not installed; pip install 'harness\[open-clip\]'"):
        repositories.require_installed(origin)


def test_the_licence_is_that_of_the_card_or_of_the_config(tmp_path: Path) -> None:
    card = origin_of(f"transformers:{save_transformers('ViTModel', tmp_path / 'card')}")
    config = origin_of(f"local-dir:{save_timm(tmp_path / 'config')}")
    assert card is not None
    assert config is not None
    assert (licence_of(card), licence_of(config)) == ("mit", "apache-2.0")
    assert source_words(card) == "transformers, the folder card"
    (tmp_path / "card/README.md").unlink()
    assert licence_of(card) is None
