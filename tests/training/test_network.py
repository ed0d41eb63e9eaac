import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from harness.models.backbone import Backbone, load_backbone
from harness.store import Store
from harness.study import Study
from harness.study.plan import Job
from harness.study.settings import ResolvedSettings, Settings
from harness.study.types import Switch
from harness.training import network
from harness.training.context import Context
from harness.training.device import within_memory
from harness.training.job import run_job
from harness.training.network import COMPILE_FROM_IMAGES, compiles, fresh_backbone
from tests.conftest import context_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SETTINGS = ResolvedSettings(backbone="test_resnet", weights="none", image_size=32)


@pytest.fixture(autouse=True)
def _no_module_is_reused() -> Iterator[None]:
    network._start.cache_clear()
    yield
    network._start.cache_clear()


@pytest.fixture(scope="module")
def case(new_store: Callable[[], Store], small_study: Callable[..., Study]) -> tuple[Context, list[Job]]:
    """The jobs of two heads, two folds each, of two epochs; 24 images in batches of 16."""
    return context_of(small_study(), new_store())


TRAIN = """
import torch
from harness.models.backbone import load_backbone
from harness.study.settings import ResolvedSettings
backbone = load_backbone(ResolvedSettings(backbone="repvgg_a0", weights="none", image_size=128), 0)
backbone.put_on(torch.device("cpu")).train()
for _ in range(2):
    images = torch.randn(4, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    backbone(images).square().mean().backward()
"""


@pytest.mark.slow
def test_training_on_a_cpu_corrupts_no_memory() -> None:
    """The convolution whose gradient in channels_last ends the process by SIGSEGV or SIGABRT."""
    assert subprocess.run([sys.executable, "-c", TRAIN], check=False).returncode == 0


def test_other_networks_are_laid_out_with_the_channels_last() -> None:
    weight = load_backbone(SETTINGS, 0).put_on(CPU).network.get_parameter("layer1.0.conv1.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_a_trained_module_comes_back_to_its_start_bit_for_bit() -> None:
    start = fresh_backbone(SETTINGS, "none", 0, CPU)
    start.backbone.train()(torch.randn(4, 3, 32, 32)).square().sum().backward()
    torch.optim.SGD(start.backbone.parameters(), lr=0.1).step()
    trained = {name: value.clone() for name, value in start.backbone.state_dict().items()}
    again = fresh_backbone(SETTINGS.model_copy(update={"head": "batchnorm-gap", "epochs": 3}), "none", 0, CPU)
    assert again.backbone is start.backbone
    assert all(parameter.grad is None for parameter in again.backbone.parameters())
    expected = load_backbone(SETTINGS, 0).state_dict()
    for name, value in again.backbone.state_dict().items():
        assert torch.equal(value, expected[name]), name
    moved = [name for name, value in trained.items() if not torch.equal(value, expected[name])]
    assert any("running_mean" in name for name in moved)
    assert any("conv" in name for name in moved)


@pytest.mark.parametrize("other", [("weights", 0), ("none", 1)])
def test_other_weights_are_another_module(other: tuple[str, int]) -> None:
    assert fresh_backbone(SETTINGS, "none", 0, CPU) is not fresh_backbone(SETTINGS, *other, CPU)


def test_the_folds_of_a_backbone_share_one_module_and_give_the_numbers_of_a_new_one(
    case: tuple[Context, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, jobs = case
    loaded: list[Settings] = []

    def load(settings: Settings, seed: int) -> Backbone:
        loaded.append(settings)
        return load_backbone(settings, seed)

    monkeypatch.setattr(network, "load_backbone", load)
    shared = [run_job(job, context, lambda *_: None) for job in jobs]
    assert len(loaded) == 1
    for job, result in list(zip(jobs, shared, strict=True))[1:]:
        network._start.cache_clear()
        alone = run_job(job, context, lambda *_: None)
        assert alone.record.history == result.record.history
        pd.testing.assert_frame_equal(alone.predictions, result.predictions)
    assert len(loaded) == len(jobs)


def test_one_backbone_is_compiled_once_whatever_the_heads_the_folds_and_the_last_batches(
    case: tuple[Context, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()
    counter, compile_ = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda forward, **given: compile_(forward, backend=counter, **given))
    context, jobs = case
    results = [run_job(job, replace(context, compile="on"), lambda *_: None) for job in jobs]
    assert len({job.scenario.settings.head for job in jobs}) == 2
    assert counter.frame_count == 1  # to train; nothing that is scored is compiled
    plain = [run_job(job, replace(context, compile="auto"), lambda *_: None) for job in jobs]
    for result, other in zip(results, plain, strict=True):
        assert (result.record.facts.compile, other.record.facts.compile) == ("on", "off")
        assert result.record.metrics["val/loss"] == pytest.approx(other.record.metrics["val/loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("option", "device", "images", "fused", "expected"),
    [
        ("auto", CUDA, COMPILE_FROM_IMAGES, False, True), ("auto", CUDA, COMPILE_FROM_IMAGES - 1, False, False),
        ("auto", CUDA, COMPILE_FROM_IMAGES, True, False), ("auto", CPU, 10**9, False, False),
        ("on", CPU, 1, False, True), ("on", CUDA, 1, True, True), ("off", CUDA, 10**9, False, False),
    ],
)  # fmt: skip
def test_auto_compiles_very_long_fits_on_cuda_that_are_not_fused(
    option: Switch, device: torch.device, images: int, fused: bool, expected: bool
) -> None:
    assert compiles(option, device, images, fused) == expected


def limited_to(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the backbone run out of memory with more than so many images in training."""
    forward = Backbone.forward

    def limited(self: Backbone, images: Tensor) -> Tensor:
        if self.training and len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(Backbone, "forward", limited)


@pytest.mark.slow
def test_a_fit_that_runs_out_of_memory_starts_again_with_fewer_images_at_a_time(
    case: tuple[Context, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, (job, *_) = case
    plain = run_job(job, context, lambda *_: None)
    assert plain.record.facts.micro_batch is None
    limited_to(4, monkeypatch)
    reported: list[int] = []
    result = run_job(job, context, lambda _, epoch, __: reported.append(epoch))
    assert (result.record.facts.micro_batch, result.record.facts.batch_size) == (4, 16)
    assert reported == [1, 2]
    again = run_job(job, context, lambda *_: None)
    assert result.record.history == again.record.history
    assert result.record.history != plain.record.history  # batch norm saw four images at a time


@pytest.mark.long
def test_where_two_images_are_too_many_the_job_fails(
    case: tuple[Context, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, (job, *_) = case
    limited_to(1, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        run_job(job, context, lambda *_: None)


@pytest.mark.long
def test_memory_is_sought_by_halves() -> None:
    tried: list[int] = []

    def attempt(size: int) -> str:
        tried.append(size)
        if size > 10:
            raise torch.OutOfMemoryError
        return "done"

    assert within_memory(attempt, 64) == ("done", 8)
    assert tried == [64, 32, 16, 8]
