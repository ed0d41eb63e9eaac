"""Mistakes that are planted: each has to be a FAIL of the check that looks for it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.training import checkpoint, step
from harness.training.capture import Captured
from harness.training.job import run_job
from harness.training.network import Network
from harness.training.step import Steps
from tests.gpu.checks import graphs, numbers
from tests.gpu.checks.device import syncs
from tests.gpu.fits import apart, silent
from tests.gpu.lab import SIMULATED_STEPS, Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(step, "CAPTURE_FROM_STEPS", SIMULATED_STEPS)
    yield Lab(tmp_path, simulated=True)
    Lab.first.cache_clear()


def test_a_head_in_bf16_shares_probabilities(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Network, images: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False):
            logits: Tensor = self.head(self._features(images))
        return logits

    monkeypatch.setattr(Network, "forward", forward)
    with pytest.raises(AssertionError, match=r"[1-9]\d* share a probability"):
        numbers.near_full_precision(lab)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that waits for the device, which cannot be captured."""
    backward = Steps._backward

    def waits(self: Steps, images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        loss, logits = backward(self, images, labels, share)
        assert loss.item() > 0, "not a number"
        return loss, logits

    monkeypatch.setattr(Steps, "_backward", waits)


@pytest.mark.usefixtures("waiting")
def test_a_step_that_waits_for_the_device_is_told(lab: Lab) -> None:
    with pytest.raises(AssertionError, match=r"more than of the batches: {'captured': {'"):
        syncs(lab)


@pytest.mark.usefixtures("waiting")
def test_a_step_that_cannot_be_captured_gives_the_bits_of_the_eager_one(lab: Lab) -> None:
    context, job, found = lab.first()
    assert found.record.facts.capture is None
    assert "not captured" in found.record.facts.fallbacks[0]
    assert apart(found, run_job(job, replace(context, capture=False), silent)) == 0


def test_a_graph_that_forgets_an_input_gives_other_bits(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(self: Captured, *inputs: Tensor) -> tuple[Tensor, ...]:
        self._inputs[0].copy_(inputs[0])  # and not the labels
        self._replay()
        return tuple(output.clone() for output in self._outputs)

    monkeypatch.setattr(Captured, "__call__", forgets)
    monkeypatch.setattr(graphs, "CAPTURED", ("base.precision=bf16",))
    with pytest.raises(AssertionError, match=r"apart by .*bf16': 0\.\d*[1-9]"):
        graphs.captured_step(lab)


def test_a_checkpoint_without_the_state_of_the_optimizer_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "restore_state", lambda *_: None)
    with pytest.raises(AssertionError, match=r"apart by {'base.optimizer=adam': 0\.\d*[1-9]"):
        numbers.resumed(lab)
