"""One network of each of timm's modules, random weights: in a study, beside timm's pooling, in a step of training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from harness.models.anatomy import anatomy
from harness.models.backbone import load_backbone
from harness.models.examine import check_network
from harness.models.network_check import NetworkSettings
from harness.models.networks import new_network
from harness.store import Store
from harness.store.results import FoldRecord
from harness.study import Study
from harness.study.allowed import Pool
from harness.study.settings import Settings
from harness.training.optimizers import make_optimizer
from tests.conftest import draw_images, run_in
from tests.models.families import LEFT_OUT, MAX_MILLIONS, QUICK, SMALLEST, VECTORS, families, size_of, vectors_of

STUDY = """\
study: family
data: {{source: folder, path: {images}, image_size: {size}, positive: B}}
folds: {{k: 2}}
base: {{backbone: {name}, weights: none, head: linear, epochs: 1, batch_size: 4}}
stages: [{{name: pools, grid: {{trainable: [head, all], pool: [{{name: map, head: dropout-gap}}, {vectors}]}}}}]
"""


@pytest.mark.parametrize("name", families(quick=["resnet"]))
def test_a_family_runs_in_a_study_frozen_and_fine_tuned_with_each_pool_that_it_has(
    name: str, tmp_path: Path, store: Store, study_of: Callable[..., Study]
) -> None:
    """Four images of each class, two folds, one epoch."""
    images = draw_images(tmp_path / "images", {f"train/{label}/{n}.png": n for label in "AB" for n in range(4)})
    size, vectors = size_of(name), vectors_of(name)
    done = run_in(study_of(STUDY.format(images=images, size=size, name=name, vectors=", ".join(vectors))), store)
    assert done.run.failed == 0
    fits: dict[tuple[str, Pool], list[FoldRecord]] = {}
    for job, outcome in done.reporter.outcomes:
        assert isinstance(outcome, FoldRecord)
        fits.setdefault((job.scenario.settings.trainable, job.scenario.settings.pooling), []).append(outcome)
    ways = {(trainable, pool) for trainable in ("head", "all") for pool in ("map", *vectors)}
    assert {way: len(records) for way, records in fits.items()} == dict.fromkeys(ways, 2)
    for (trainable, pool), records in fits.items():
        known = anatomy(name, size, pool)
        head, whole = (known.shape[0] + 1) * 2, sum(known.read.values())
        assert {record.facts.parameters for record in records} == {whole + head}
        assert {record.facts.trained_parameters for record in records} == {head + whole * (trainable == "all")}
    for pool in set(VECTORS).difference(vectors):
        check = check_network(NetworkSettings(name, "none", "head", size, pool))
        assert check.setting == "pool"
        assert check.problem.startswith(f"{name}: pool {pool}: this network has map, native")


@pytest.mark.parametrize("name", families(QUICK))
def test_native_is_what_timm_gives_its_own_classifier(name: str) -> None:
    size = size_of(name)
    backbone = load_backbone(Settings(backbone=name, weights="none", image_size=size, pool="native"), seed=0).eval()
    whole = timms_own(name, size).eval()
    draw(whole)
    missing, _ = backbone.network.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
        torch.testing.assert_close(backbone(images)[..., 0, 0], expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-4  # far more than what may differ: random weights make the features of some small


def timms_own(name: str, size: int) -> Any:
    """The network as timm's authors have it, with their classifier."""
    config = timm.get_pretrained_cfg(name)
    fixed: dict[str, Any] = {"img_size": size} if config is not None and config.fixed_input_size else {}
    return timm.create_model(name, **fixed)


def draw(network: nn.Module) -> None:
    """Move all parameters and statistics a little from where timm starts them, as many are zeros and ones there."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=generator))
        for tensor in network.parameters():
            tensor.add_(0.01 * torch.randn(tensor.shape, generator=generator))


@pytest.mark.parametrize("name", families(QUICK))
def test_of_last_n_a_step_of_training_moves_the_last_stages_and_nothing_else(name: str) -> None:
    known = anatomy(name, size_of(name))
    assert len(known.stages) > 1
    with torch.device("meta"):
        weights = {key for key, value in new_network(name, size_of(name)).named_parameters() if value.ndim > 1}
    for count in sorted({1, len(known.stages) - 1}):
        moved = moved_by_a_step(name, f"last-{count}")
        wanted = frozenset().union(*known.stages[-count:])
        assert moved <= wanted
        # All but what shifts the scores of a softmax alike, such as the bias of attention's keys: its gradient is zero.
        assert known.size(moved) > 0.95 * known.size(wanted), sorted(wanted - moved)
        assert all(stage & moved & weights for stage in known.stages[-count:])


def moved_by_a_step(name: str, trainable: str) -> frozenset[str]:
    """The parameters that the first step of training moves."""
    size = size_of(name)
    settings = Settings(backbone=name, weights="none", image_size=size, trainable=trainable, learning_rate=1e-3)
    backbone = load_backbone(settings, seed=0)
    draw(backbone.network)
    before = {key: value.detach().clone() for key, value in backbone.network.named_parameters()}
    generator = torch.Generator().manual_seed(1)
    features: Tensor = backbone.train()(torch.randn(4, 3, size, size, generator=generator))
    (features * torch.randn(features.shape, generator=generator)).sum().backward()  # type: ignore[no-untyped-call]
    make_optimizer(backbone, settings).step()
    after = backbone.network.named_parameters()
    return frozenset(key for key, value in after if not torch.equal(value, before[key]))


def test_only_what_is_too_large_is_left_out() -> None:
    assert {module for module, (_, millions) in SMALLEST.items() if millions > MAX_MILLIONS} == LEFT_OUT.keys()
    assert len(SMALLEST) >= 90
