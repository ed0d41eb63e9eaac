"""What a device has too little of, and what is not a network: memory, bf16, room for data; baselines and the probe."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.execution.probe import probe
from harness.study.allowed import CLASSIFIERS
from harness.study.settings import ResolvedSettings
from harness.training import loaders, step
from harness.training.job import run_job
from harness.training.run import run_jobs
from tests.gpu.fits import StudyOf, apart, cuda_case, fitted, result, silent
from tests.gpu.simulation.device import Card, about, no_bf16
from tests.gpu.simulation.log import HOST, LOG
from tests.gpu.simulation.rules import REFUSALS
from tests.gpu.simulation.tensors import SimulatedTensor

SMALL = ("base.batch_size=7", "test=null", "data.phantom.train=32")
FROZEN = ("base.trainable=head", "base.batch_size=10", "test=null")


@pytest.fixture(autouse=True)
def refusals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every fit is captured, and the device refuses only what a test makes it refuse."""
    monkeypatch.setattr(step, "CAPTURE_FROM_STEPS", 1)
    LOG.clear()
    yield
    REFUSALS.clear()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "cuDNN", "cuBLAS"],
)
def test_a_batch_that_is_too_large_goes_in_parts(small_study: StudyOf, tmp_path: Path, error: Exception) -> None:
    def refuse(name: str, ours: list[SimulatedTensor]) -> None:
        if name == "aten::convolution" and len(ours[0]) > 4:
            raise error

    context, (job, *_) = cuda_case(small_study(*SMALL), tmp_path)
    REFUSALS.append(refuse)
    facts = run_job(job, context, silent).record.facts
    assert (facts.micro_batch, facts.batch_size) == (3, 7)
    assert not LOG.races


@pytest.mark.parametrize("place", ["aten::convolution", "aten::convolution_backward", "aten::_fused_adam_"])
def test_a_graph_that_is_too_large_is_no_reason_for_smaller_batches(
    small_study: StudyOf, tmp_path: Path, place: str
) -> None:
    def refuse(name: str, _ours: list[SimulatedTensor]) -> None:
        if HOST.capturing and name == place:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    context, (job, *_) = cuda_case(small_study(*SMALL), tmp_path)
    right = run_job(job, context, silent)
    REFUSALS.append(refuse)
    found = run_job(job, context, silent)
    facts = found.record.facts
    assert (facts.capture, facts.micro_batch) == (None, None)
    assert any("not captured" in reason for reason in facts.fallbacks)
    assert apart(found, right) == 0


def test_a_stack_that_is_too_large_goes_in_halves(small_study: StudyOf, tmp_path: Path) -> None:
    def refuse(name: str, ours: list[SimulatedTensor]) -> None:
        if name == "aten::baddbmm" and len(ours[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    study = small_study(
        *FROZEN, "base.head=batchnorm-gap", "stages=[{name: all, grid: {oversampling: [none, random]}}]"
    )
    context, jobs = cuda_case(study, tmp_path, stack=True)
    alone = [fitted(job, context) for job in jobs]
    REFUSALS.append(refuse)
    halves = [result(found) for found in run_jobs(jobs, context, silent)]
    assert [len(found.record.facts.stack) for found in halves] == [2] * 4
    assert all(apart(*pair) < 1e-6 for pair in zip(halves, alone, strict=True))


def test_a_card_without_bf16_computes_in_fp32(
    small_study: StudyOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in about(Card("Tesla T4 (simulated)", (7, 5))).items():
        monkeypatch.setattr(torch.cuda, name, value)
    REFUSALS.append(no_bf16)
    context, (job, *_) = cuda_case(small_study(*SMALL), tmp_path)
    facts = run_job(job, context, silent).record.facts
    assert (facts.device, facts.precision, facts.capture) == ("Tesla T4 (simulated)", "fp32", "on")
    assert set(LOG.convolutions) == {"channels-last float32"}, "neither bf16 nor TF32"


def test_features_that_do_not_fit_are_loaded_ahead_with_the_same_bits(
    small_study: StudyOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, (job, *_) = cuda_case(small_study(*FROZEN), tmp_path)
    there = run_job(job, context, silent)
    monkeypatch.setattr(loaders, "MAX_RESIDENT_SHARE", 0)
    LOG.clear()
    assert apart(run_job(job, context, silent), there) == 0
    assert any("loaders.py" in place for place in LOG.copies)
    assert not any("not pinned" in place for place in LOG.syncs)
    assert not LOG.races


@pytest.mark.parametrize("stack", [False, True])
def test_more_steps_of_heads_do_not_make_the_host_wait_more_often(
    small_study: StudyOf, tmp_path: Path, stack: bool
) -> None:
    counts = []
    for images in (48, 96):
        study = small_study(*FROZEN, f"data.phantom.train={images}", "stages.0.grid.head=[dropout-gap]")
        context, jobs = cuda_case(study, tmp_path, stack=stack)
        run_jobs(jobs, context, silent) if stack else fitted(jobs[0], context)  # the features are cached
        LOG.clear()
        run_jobs(jobs, context, silent) if stack else fitted(jobs[0], context)
        counts.append(LOG.syncs.copy())
    few, many = counts
    assert few and not many - few
    assert not LOG.errors


@pytest.mark.parametrize("baseline", CLASSIFIERS)
def test_a_baseline_gives_what_it_gives_on_the_cpu(small_study: StudyOf, tmp_path: Path, baseline: str) -> None:
    context, (job, *_) = cuda_case(small_study(*SMALL, f"base.backbone={baseline}"), tmp_path)
    assert apart(run_job(job, context, silent), run_job(job, replace(context, device="cpu"), silent)) < 1e-6


@pytest.mark.parametrize("trainable", ["all", "head"])
def test_the_probe_runs(trainable: str) -> None:
    settings = ResolvedSettings(
        backbone="test_resnet", weights="none", trainable=trainable, image_size=32, batch_size=4, head="dropout-gap"
    )
    found = probe(settings, 2, torch.device("cuda"), "here")
    assert found.memory > 0 and found.score > 0  # training is a difference of times: 0 on a busy machine
    assert "simulated" in found.device
