"""Mistakes in the step of a whole network: the simulated device, or the harness on it, must notice each."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.store.results import FoldResult
from harness.study.plan import Job
from harness.training import optimizers, step
from harness.training.capture import Snapshot
from harness.training.casts import CastWeights
from harness.training.context import Context
from harness.training.device import Arithmetic
from harness.training.job import run_job
from harness.training.learner import Average
from harness.training.network import Network
from harness.training.side_conv import Side
from tests.gpu.fits import StudyOf, apart, cuda_case, silent
from tests.gpu.simulation.log import LOG

Case = tuple[Job, Context, FoldResult]
Patch = pytest.MonkeyPatch
FORWARD = Network.forward


@pytest.fixture(autouse=True)
def capture_short_fits(monkeypatch: Patch) -> None:
    monkeypatch.setattr(step, "CAPTURE_FROM_STEPS", 1)


@pytest.fixture(scope="module")
def case(small_study: StudyOf, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A fit, and what it gives kernel by kernel."""
    study = small_study("base.batch_size=7", "test=null", "data.phantom.train=32", "stages.0.grid.head=[dropout-gap]")
    context, (job, *_) = cuda_case(study, tmp_path_factory.mktemp("store"), capture=False)
    return job, context, run_job(job, context, silent)


def noticed(case: Case, words: str = "") -> bool:
    """Whether a fit with captured steps is not the one without, or says that it was not captured."""
    job, context, right = case
    LOG.clear()
    found = run_job(job, replace(context, capture=True), silent)
    facts = found.record.facts
    said = " ".join([*facts.fallbacks, *LOG.errors])
    assert words in said, said
    return bool(facts.fallbacks or LOG.errors) or apart(found, right) > 0


def test_without_a_mistake_nothing_is_noticed(case: Case) -> None:
    assert not noticed(case)
    assert len(LOG.captures) == 2


def in_the_forward_pass(monkeypatch: Patch, mistake: Callable[[Network, Tensor], Tensor]) -> None:
    monkeypatch.setattr(Network, "forward", lambda self, images: mistake(self, FORWARD(self, images)))


def rebound(network: Network, logits: Tensor) -> Tensor:
    network.seen = getattr(network, "seen", torch.zeros(1, device=logits.device)) + 1
    return logits


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda _, logits: logits * float(logits.isfinite().all().item()), "not permitted when stream"),
        (lambda _, logits: logits + torch.tensor([0.0], device=logits.device), "not permitted when stream"),
        (lambda _, logits: logits + torch.zeros(2), "on the same device"),
        (lambda _, logits: logits * (1 + random.random()), "other numbers"),
        (
            lambda _, logits: logits * torch.rand(1, device="cuda", generator=torch.Generator("cuda")),
            "not registered",
        ),
        (rebound, "uses freed memory"),
    ],
    ids=[
        "a host sync", "a pageable copy", "an operand on the CPU", "a random number of Python",
        "a generator that is not registered", "a buffer that is rebound",
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_captured_is_not(
    case: Case, monkeypatch: Patch, mistake: Callable[[Network, Tensor], Tensor], words: str
) -> None:
    in_the_forward_pass(monkeypatch, mistake)
    try:
        assert noticed(case, words)
    except RuntimeError as error:  # what no step may do either
        assert words in str(error)


def test_steps_of_the_warm_up_that_are_left_in_are_seen(case: Case, monkeypatch: Patch) -> None:
    monkeypatch.setattr(Snapshot, "restore", lambda _: None)
    assert noticed(case)


def test_random_numbers_that_the_warm_up_has_drawn_are_seen(case: Case, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *_: None)
    assert noticed(case)


def test_a_cast_of_a_weight_that_is_not_made_anew_is_seen(case: Case, monkeypatch: Patch) -> None:
    monkeypatch.setattr(CastWeights, "__call__", lambda self, images: self._backbone(images))
    monkeypatch.setattr(Arithmetic, "autocast", lambda _: torch.autocast("cuda", dtype=torch.bfloat16))
    assert not noticed(case), "autocast keeps a cast until its outermost block ends"
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert noticed(case)


def test_a_rate_that_a_captured_step_does_not_read_anew_is_seen(
    small_study: StudyOf, tmp_path: Path, monkeypatch: Patch
) -> None:
    study = small_study("base.batch_size=7", "test=null", "stages.0.grid.head=[dropout-gap]", "base.schedule=linear")
    context, (job, *_) = cuda_case(study, tmp_path, capture=False)
    case = job, context, run_job(job, context, silent)
    assert not noticed(case)
    monkeypatch.setattr(optimizers, "is_scheduled", lambda _: False)  # a number then, and no tensor
    assert noticed(case)


def test_an_average_that_a_captured_step_does_not_find_in_its_place_is_seen(
    small_study: StudyOf, tmp_path: Path, monkeypatch: Patch
) -> None:
    study = small_study("base.batch_size=7", "test=null", "stages.0.grid.head=[dropout-gap]", "base.ema=0.9")
    context, (job, *_) = cuda_case(study, tmp_path, capture=False)
    case = job, context, run_job(job, context, silent)
    assert not noticed(case)

    def update(self: Average) -> None:
        self.tensors = [each.lerp(weight, 0.1) for each, weight in zip(self.tensors, self._weights, strict=True)]

    monkeypatch.setattr(Average, "update", torch.no_grad()(update))
    with pytest.raises(FloatingPointError, match="predictions are not finite"):  # what the capture made is no number
        noticed(case)


def test_gradients_of_weights_that_nobody_waits_for_are_seen(case: Case, monkeypatch: Patch) -> None:
    monkeypatch.setattr(Side, "_wait", lambda self: self._pending.popleft())
    with pytest.raises(RuntimeError, match="a stream that did not wait"):
        noticed(case, "did not wait")
