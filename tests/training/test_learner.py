"""What makes a step beside the optimizer: clipped gradients, and the average of the weights."""

import numpy as np
import pytest
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from harness.training.device import Arithmetic
from harness.training.fit import fit
from harness.training.learner import Average, Learner
from harness.training.optimizers import parameters_of
from harness.training.predict import predict
from harness.training.step import Part, Steps
from harness.training.task import FitJob
from tests.training.test_fit import FP32, SETTINGS, TASK, network, silent, trained

RATE = 0.1
IMAGES, LABELS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)) * 9, torch.tensor([0, 1, 1, 0])


def linear(clip: float = 0.0, decay: float = 0.0) -> tuple[nn.Linear, Learner]:
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    average = Average(parameters_of(optimizer), decay) if decay else None
    return model, Learner(model, optimizer, clip, average)


def moved(clip: float, parts: list[Part]) -> Tensor:
    """What a step of SGD subtracts from weights and bias, as one vector."""
    model, learner = linear(clip)
    before = nn.utils.parameters_to_vector(model.parameters()).detach()
    Steps(learner, Arithmetic(torch.device("cpu"), "fp32"), 4).train(parts, planned=1)
    return (before - nn.utils.parameters_to_vector(model.parameters()).detach()) / RATE


WHOLE: list[Part] = [(IMAGES, LABELS, 1.0)]


def test_gradients_longer_than_the_norm_are_shortened_to_it_and_others_are_not() -> None:
    plain = moved(0, WHOLE)
    norm = float(plain.norm())
    torch.testing.assert_close(moved(norm / 4, WHOLE), plain / 4, rtol=1e-4, atol=1e-5)
    assert torch.equal(moved(norm * 2, WHOLE), plain)


def test_of_a_batch_in_parts_the_sum_of_the_gradients_is_clipped() -> None:
    parts: list[Part] = [(IMAGES[:3], LABELS[:3], 0.75), (IMAGES[3:], LABELS[3:], 0.25)]
    torch.testing.assert_close(moved(0.5, parts), moved(0.5, WHOLE))
    assert moved(0.5, WHOLE).norm() == pytest.approx(0.5, rel=1e-4)


def test_the_average_is_that_of_a_hand_computation_and_of_timm_over_three_steps() -> None:
    model, learner = linear(decay=0.9)
    theirs = ModelEmaV3(model, decay=0.9)
    by_hand = model.weight.detach().double()
    for step in range(3):
        model.weight.grad, model.bias.grad = torch.full((2, 3), 1.0 + step), torch.zeros(2)
        learner.step()
        theirs.update(model)
        by_hand = 0.9 * by_hand + 0.1 * model.weight.detach().double()
    assert learner.average is not None
    torch.testing.assert_close(learner.average.tensors[0].double(), by_hand, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(learner.average.tensors, [p.detach() for p in theirs.module.parameters()])
    weights = model.weight.detach().clone()
    with learner.averaged():
        torch.testing.assert_close(model.weight.detach().double(), by_hand, rtol=1e-6, atol=1e-7)
    assert torch.equal(model.weight, weights)


def test_the_average_predicts_and_stays_and_training_goes_on_from_the_weights() -> None:
    model, loader = network(SETTINGS)
    averaged = fit(model, loader, FitJob(TASK, SETTINGS.model_copy(update={"ema": 0.9}), 0, silent), FP32)
    plain = trained()
    for key in ("train/loss", "train/accuracy"):
        assert [epoch[key] for epoch in averaged.history] == [epoch[key] for epoch in plain.history]
    assert not np.allclose(averaged.probabilities, plain.probabilities, atol=1e-3)
    assert (predict(model, loader, TASK.evaluate, SETTINGS.batch_size) == averaged.probabilities).all()


def test_an_average_of_the_last_step_alone_is_no_average() -> None:
    nearly = trained(ema=1e-12)
    np.testing.assert_allclose(nearly.probabilities, trained().probabilities, atol=1e-6)
