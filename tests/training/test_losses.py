"""The losses against their formulas, and against cross-entropy where they must be it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn.functional import cross_entropy

from harness.study.allowed import CROSS_ENTROPY, LOSSES
from harness.study.settings import Settings
from harness.training.losses import (
    balanced_weights,
    class_counts,
    each_cross_entropy,
    effective_number_weights,
    focal,
    loss_of_each,
    make_loss,
    stacked_loss,
)
from harness.training.task import FitJob, Task

CPU = torch.device("cpu")
BY_CLASS = ("class-weighted", "effective-number", "logit-adjusted")
LABELS = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
BALANCED = [0, 1, 6, 7, 8, 9]  # rows with two images of each class


def job_of(loss: str, rows: list[int] | None = None, smoothing: float = 0.0) -> FitJob:
    """A fit that learns from these images of LABELS."""
    train = np.array(range(len(LABELS)) if rows is None else rows)
    task = Task(torch.tensor(LABELS), train, train, None, True)
    return FitJob(task, settings_of(loss, smoothing), 0, lambda *_: None)


def settings_of(loss: str, smoothing: float = 0.0) -> Settings:
    return Settings(backbone="b", loss=loss, label_smoothing=smoothing)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Logits [11, 3] and labels [11] of all classes."""
    return torch.randn(11, 3, generator=torch.Generator().manual_seed(0)) * 4, torch.tensor(LABELS)


def test_with_classes_of_one_size_weights_change_nothing(batch: tuple[Tensor, Tensor]) -> None:
    plain = each_cross_entropy(*batch)
    for loss in BY_CLASS:
        for classes_of_one_size in (job_of(loss, BALANCED), job_of(loss, BALANCED * 3)):
            each = loss_of_each(settings_of(loss), class_counts(classes_of_one_size), CPU)(*batch)
            if loss == "class-weighted":
                assert torch.equal(each, plain)
            torch.testing.assert_close(each, plain)
            torch.testing.assert_close(make_loss(classes_of_one_size)(*batch), cross_entropy(*batch))


def test_the_counts_are_those_of_the_training_images_with_their_copies(batch: tuple[Tensor, Tensor]) -> None:
    assert class_counts(job_of("focal")).tolist() == [6, 2, 3]
    assert class_counts(job_of("focal", [0, 1, 6, 6, 6])).tolist() == [2, 3, 0]
    for loss in BY_CLASS:
        few, copied = job_of(loss, [0, 1, 2, 6, 8]), job_of(loss, [0, 1, 2, 6, 6, 6, 8, 8, 8])
        assert abs(make_loss(few)(*batch) - cross_entropy(*batch)) > 0.01
        torch.testing.assert_close(make_loss(copied)(*batch), cross_entropy(*batch))


def test_weights_are_those_of_scikit_learn_and_have_the_mean_1_over_the_images() -> None:
    weights = balanced_weights(class_counts(job_of("class-weighted")))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(LABELS))
    np.testing.assert_allclose(weights.numpy(), expected)
    assert weights[torch.tensor(LABELS)].mean().item() == pytest.approx(1)


def test_the_effective_number_is_a_geometric_series() -> None:
    counts = torch.tensor([1, 40, 3000]).double()
    effective = np.array([sum(0.999**image for image in range(int(count))) for count in counts])
    weights = effective_number_weights(counts).numpy()
    np.testing.assert_allclose(weights, 3 / effective / (1 / effective).sum())
    assert weights.sum() == pytest.approx(3)


def test_the_focal_loss_is_that_of_the_paper_also_where_the_network_is_sure(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    p = logits.double().softmax(dim=1)[range(len(labels)), labels]
    torch.testing.assert_close(focal(logits, labels).double(), -((1 - p) ** 2) * p.log(), rtol=1e-4, atol=1e-6)
    sure = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    losses = focal(sure, torch.tensor([0, 0]))
    (gradient,) = torch.autograd.grad(losses.sum(), sure)
    assert losses.tolist() == [0, 200] and gradient.tolist() == [[0, 0], [-1, 1]]


def test_the_logit_adjusted_loss_is_that_of_the_paper(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    counts = class_counts(job_of("logit-adjusted"))
    prior = counts / counts.sum()
    margins = (prior / prior[labels][:, None]) * (logits - logits.gather(1, labels[:, None])).double().exp()
    expected = margins.sum(dim=1).log()
    found = loss_of_each(settings_of("logit-adjusted"), counts, CPU)(logits, labels)
    torch.testing.assert_close(found.double(), expected)


def smoothed(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """The cross-entropy of each image against labels that are shared out by hand."""
    shared = torch.nn.functional.one_hot(labels, 3) * (1 - smoothing) + smoothing / 3
    return -(shared * logits.log_softmax(dim=1)).sum(dim=1)


def test_smoothed_labels_are_those_of_the_paper_in_every_form_of_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    counts = class_counts(job_of(CROSS_ENTROPY))
    shift, weights = (counts / counts.sum()).log(), balanced_weights(counts).float()
    expected = {
        CROSS_ENTROPY: smoothed(logits, labels, 0.3),
        "class-weighted": smoothed(logits, labels, 0.3) * weights[labels],
        "effective-number": smoothed(logits, labels, 0.3) * effective_number_weights(counts).float()[labels],
        "logit-adjusted": smoothed(logits + shift.float(), labels, 0.3),
    }
    for loss, each in expected.items():
        torch.testing.assert_close(make_loss(job_of(loss, smoothing=0.3))(logits, labels), each.mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_parts_of_a_batch_add_up_to_it_whatever_classes_they_hold(batch: tuple[Tensor, Tensor], loss: str) -> None:
    logits, labels = batch
    mean = make_loss(job_of(loss))
    parts = sum(mean(logits[part], labels[part]) * len(labels[part]) / 11 for part in (slice(6), slice(6, 11)))
    torch.testing.assert_close(parts, mean(logits, labels))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_stack_has_the_loss_of_each_fit_with_its_own_counts(loss: str, smoothing: float) -> None:
    jobs = [job_of(loss, rows, smoothing) for rows in (None, BALANCED, [0, 6, 7, 8])]
    logits = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[0, 1, 2, 0, 1], [2, 2, 2, 1, 0], [0, 0, 0, 0, 1]])
    stacked = stacked_loss(jobs)(logits, labels)
    assert stacked.shape == labels.shape
    for fit, job in enumerate(jobs):
        torch.testing.assert_close(stacked[fit].mean(), make_loss(job)(logits[fit], labels[fit]))


def test_plain_cross_entropy_is_torchs_own() -> None:
    made: Callable[..., Tensor] = make_loss(job_of(CROSS_ENTROPY))
    assert made is cross_entropy, "the bits of all fits so far"


def test_a_class_without_images_leaves_the_effective_number_of_the_others() -> None:
    found = effective_number_weights(torch.tensor([9.0, 0.0, 3.0], dtype=torch.float64))
    expected = effective_number_weights(torch.tensor([9.0, 3.0], dtype=torch.float64))
    assert found[1] == 0
    torch.testing.assert_close(found[[0, 2]], expected)
