"""Whole networks: their steps as graphs, and kernel by kernel."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.models.names import HEADS
from harness.study.allowed import PROBES
from harness.study.plan import Job
from harness.training import loaders, step
from harness.training.context import Context
from harness.training.job import run_job
from tests.gpu.fits import Killed, StudyOf, apart, cuda_case, probabilities, silent, stopped_after
from tests.gpu.simulation.log import LOG

FAMILIES = (
    "test_resnet", "test_vit", "test_efficientnet", "test_convnext", "test_nfnet", "test_mambaout", "vgg11",
    "small-cnn",
)  # fmt: skip
OTHER_CONVOLUTIONS = ("mambaout", "randaugment")  # torchvision sharpens an image by one
GPU = "NVIDIA H100 80GB HBM3 (simulated)"

Case = Callable[..., tuple[Context, Job]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the images of all cases."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def case(small_study: StudyOf, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Gives a job of two whole batches an epoch, which are captured however few they are."""
    monkeypatch.setattr(step, "CAPTURE_FROM_STEPS", 1)

    def make(*overrides: str, **changes: object) -> tuple[Context, Job]:
        study = small_study("base.batch_size=7", "data.phantom.train=32", "test=null", *overrides)
        context, (job, *_) = cuda_case(study, folder, **changes)
        LOG.clear()
        return context, job

    return make


def test_steps_are_captured_and_the_same_seed_gives_the_same_bits(case: Case) -> None:
    context, job = case()
    found = run_job(job, context, silent)
    facts = found.record.facts
    assert (facts.device, facts.precision, facts.capture, facts.fallbacks) == (GPU, "bf16", "on", ())
    assert len(LOG.captures) == 2, "training and scoring"
    assert LOG.replays >= 2 * (2 + 2)
    assert apart(run_job(job, context, silent), found) == 0


@pytest.mark.parametrize(
    "overrides",
    [
        *[(f"base.backbone={name}",) for name in FAMILIES],
        *[(f"stages.0.grid.head=[{head}]",) for head in HEADS if head not in PROBES],
        *[(f"base.optimizer={optimizer}",) for optimizer in ("adamw", "sgd")],
        ("base.trainable=last-1",),
        ("base.augment=flip+affine",),
        ("base.augment=medical",),
        ("base.augment=randaugment",),
        ("base.head_epochs=1",),
        ("base.tta=flip+crops", "base.snapshots=2"),
        ("base.clip=0.5", "base.ema=0.9", "base.label_smoothing=0.1"),
        ("base.layer_decay=0.7", "base.schedule=cosine", "base.drop_path=0.3"),
        ("base.mixup=0.4", "base.cutmix=1"),
        ("base.backbone=test_vit", "base.head=linear", "base.trainable=lora-4"),
        ("base.precision=fp32",),
        ("base.oversampling=random",),
        ("data.phantom.train=34",),
    ],
    ids=lambda overrides: overrides[0],
)
def test_captured_steps_give_the_bits_of_the_steps_themselves(case: Case, overrides: tuple[str, ...]) -> None:
    context, job = case(*overrides)
    captured = run_job(job, context, silent)
    assert (captured.record.facts.capture, captured.record.facts.fallbacks) == ("on", ())
    precision = captured.record.facts.precision
    assert any(name in overrides[0] for name in OTHER_CONVOLUTIONS) or all(
        kind == f"channels-last {'bfloat16' if precision == 'bf16' else 'float32'}" for kind in LOG.convolutions
    )
    eager = run_job(job, replace(context, capture=False), silent)
    assert eager.record.facts.capture is None
    assert apart(captured, eager) == 0
    assert not LOG.alerts and not LOG.races and not LOG.fills
    assert len(np.unique(probabilities(captured)[:, 1])) == len(probabilities(captured)), "images share a probability"


@pytest.mark.parametrize("capture", [True, False])
def test_more_steps_do_not_make_the_host_wait_more_often(case: Case, capture: bool) -> None:
    counts = []
    for images in (32, 64):
        recipe = ("base.augment=flip+affine", "base.clip=0.5", "base.ema=0.9", "base.mixup=0.4", "base.cutmix=1")
        context, job = case(f"data.phantom.train={images}", *recipe, capture=capture)
        run_job(job, context, silent)
        counts.append(LOG.syncs.copy())
    few, many = counts
    assert few and not many - few


def test_a_fit_goes_on_from_a_checkpoint_bit_for_bit(case: Case, tmp_path: Path) -> None:
    for recipe in (["base.optimizer=adam"], ["base.optimizer=sgd", "base.schedule=linear", "base.ema=0.9"]):
        context, job = case("base.epochs=3", *recipe)
        whole = run_job(job, context, silent)
        context = replace(context, checkpoints=tmp_path / "checkpoints", checkpoint_every=1)
        with pytest.raises(Killed):
            run_job(job, context, stopped_after(2))
        assert apart(run_job(job, context, silent), whole) == 0


def test_pixels_that_do_not_fit_are_loaded_ahead_with_the_same_bits(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, job = case()
    resident = run_job(job, context, silent)
    monkeypatch.setattr(loaders, "MAX_RESIDENT_SHARE", 0)
    LOG.clear()
    assert apart(run_job(job, context, silent), resident) == 0
    assert any("loaders.py" in place for place in LOG.copies)
    assert not any("loaders.py" in place for place in LOG.syncs if "pinned" in place)
    assert not LOG.races
    assert torch.cuda.is_available()


LATE = """\
from torch import nn


class Late(nn.Module):
    def __init__(self, shape, classes, settings):
        super().__init__()
        self.linear, self.steps = nn.Linear(shape[0], classes), 0

    def forward(self, features):
        self.steps += self.training
        return self.linear(features.mean(dim=(2, 3))) * (2 if self.steps > 3 else 1)
"""


def test_a_custom_head_that_changes_in_a_later_step_is_not_captured(case: Case) -> None:
    context, job = case()
    settings = job.scenario.settings.model_copy(update={"head": "own:Late"})
    job = replace(job, scenario=replace(job.scenario, settings=settings))
    context = replace(context, heads={"own:Late": LATE})
    found = run_job(job, context, silent)
    assert found.record.facts.capture is None
    assert apart(found, run_job(job, replace(context, capture=False), silent)) == 0
