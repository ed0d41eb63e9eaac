from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.models.backbone import Backbone, load_backbone
from harness.models.lora import draw_adapters
from harness.study.settings import ResolvedSettings
from tests.foreign_models import save_open_clip, save_transformers

SETTINGS = ResolvedSettings(backbone="test_vit", weights="none", image_size=64, trainable="lora-4")
IMAGES = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def trained_two_steps(backbone: Backbone) -> dict[str, Tensor]:
    """The state of a backbone before two steps; in the second one B is not zero any more, and A moves too."""
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in backbone.parameters() if p.requires_grad], lr=0.01, eps=1e-30)
    for _ in range(2):
        optimizer.zero_grad()
        backbone.train()(IMAGES).square().mean().backward()
        optimizer.step()
    return before


@pytest.mark.parametrize("kind", ["test_vit", "test_vit_relpos", "Dinov2Model", "CLIPModel", "SwinModel"])
def test_it_begins_as_the_frozen_network_and_its_adapters_alone_move(kind: str, tmp_path: Path) -> None:
    backbone = kind if "test" in kind else f"transformers:{save_transformers(kind, tmp_path / 'm')}"
    settings = SETTINGS.model_copy(update={"backbone": backbone, "pool": "avg"})
    plain, adapted = (load_backbone(settings.model_copy(update={"trainable": t}), 0) for t in ("all", "lora-4"))
    draw_adapters(adapted.network, seed=5)
    with torch.inference_mode():
        assert torch.equal(adapted.eval()(IMAGES), plain.eval()(IMAGES))
    before = trained_two_steps(adapted)
    moved = {name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"network.{name}" for name, p in adapted.network.named_parameters() if p.requires_grad}
    assert moved and all(".lora_" in name for name in moved)
    with torch.inference_mode():
        assert not torch.equal(adapted.eval()(IMAGES), plain(IMAGES))


@pytest.mark.parametrize("kind", ["test_vit", "SwinModel"])
def test_merged_it_is_a_plain_network_with_the_same_features(kind: str, tmp_path: Path) -> None:
    backbone = kind if "test" in kind else f"transformers:{save_transformers(kind, tmp_path / 'm')}"
    settings = SETTINGS.model_copy(update={"backbone": backbone})
    adapted = load_backbone(settings, 0)
    draw_adapters(adapted.network, seed=5)
    trained_two_steps(adapted)
    merged, plain = adapted.merged(), load_backbone(settings.model_copy(update={"trainable": "all"}), 1)
    assert list(merged.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(merged.state_dict())
    with torch.inference_mode():
        assert torch.equal(plain.eval()(IMAGES), merged.eval()(IMAGES))
        torch.testing.assert_close(merged(IMAGES), adapted.eval()(IMAGES), atol=1e-5, rtol=0)
    assert any(".lora_" in name for name in adapted.state_dict()), "the backbone of other folds stays as it is"


def test_adapters_begin_by_their_seed_and_draw_no_other_random_numbers() -> None:
    state = torch.get_rng_state()
    backbone = load_backbone(SETTINGS, 0)
    starts = []
    for seed in (1, 1, 2):
        draw_adapters(backbone.network, seed)
        starts.append([p.clone() for name, p in backbone.named_parameters() if ".lora_" in name])
        trained_two_steps(backbone)
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other = starts
    assert all(map(torch.equal, first, again))
    assert [torch.equal(a, b) for a, b in zip(first, other, strict=True)] == [False, True] * 12, "A, and B at zero"


def test_the_image_tower_of_open_clip_is_refused(tmp_path: Path) -> None:
    """Its attention is torch's own, which holds its weights outside of linear layers."""
    backbone = f"open_clip:{save_open_clip('transformer', tmp_path / 'm')}"
    with pytest.raises(HarnessError, match="open_clip:m has no attention with linear layers of more than 4"):
        load_backbone(SETTINGS.model_copy(update={"backbone": backbone, "pool": "native"}), 0)
