"""Models that are fitted together, against scikit-learn's, one by one."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from harness.models.lbfgs import fit_models
from harness.models.leading_axes import LeadingAxes
from harness.models.linear_models import LOGISTIC, SQUARED_HINGE, LinearModel, Loss, Vectors
from harness.models.probes import LOGISTIC_C, TOLERANCE

Data = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def data(images: int, channels: int, classes: int) -> Data:
    """Standardised, correlated vectors, classes that overlap, and how often each counts."""
    rng = np.random.default_rng(images)
    vectors = rng.normal(size=(images, channels)) @ rng.normal(size=(channels, channels))
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    scores = vectors @ rng.normal(size=(channels, classes)) / channels**0.5
    return vectors, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1), rng.integers(1, 4, images)


def fitted(model: LinearModel, strengths: torch.Tensor, values: Data, tolerance: float) -> NDArray[np.float64]:
    """The scores [m, n, outputs] of the same vectors."""
    vectors = Vectors(*map(torch.from_numpy, values))
    weights = fit_models(model, vectors, strengths, tolerance)
    return (torch.einsum("nc,moc->mno", vectors.features, weights[..., :-1]) + weights[:, None, :, -1]).numpy()


@pytest.mark.parametrize(("images", "channels", "classes"), [(300, 12, 2), (300, 12, 4), (40, 60, 2), (40, 60, 3)])
def test_every_c_is_as_near_to_the_exact_solution_as_scikit_learn_is_by_default(
    images: int, channels: int, classes: int
) -> None:
    values, shown = data(images, channels, classes), slice(0, 45, 6)
    scores = fitted(LinearModel(classes, LOGISTIC), LOGISTIC_C, values, TOLERANCE)[shown]
    for score, strength in zip(scores, LOGISTIC_C[shown].tolist(), strict=True):
        logits = torch.from_numpy(score if classes > 2 else np.concatenate([0 * score, score], axis=1))
        exact, default = (
            LogisticRegression(C=strength, tol=tol, max_iter=100_000)
            .fit(values[0], values[1], sample_weight=values[2])
            .predict_proba(values[0])
            for tol in (1e-8, 1e-4)
        )
        ours, theirs = np.abs(logits.softmax(dim=1).numpy() - exact).max(), np.abs(default - exact).max()
        assert ours <= max(theirs, 1e-4), f"C {strength:.2g}"


@pytest.mark.parametrize("classes", [2, 3])
def test_the_support_vector_machine_is_scikit_learns(classes: int) -> None:
    vectors, labels, counts = data(200, 6, classes)
    strengths = torch.tensor([0.01, 1.0], dtype=torch.float64)
    found = fitted(LinearModel(classes, SQUARED_HINGE), strengths, (vectors, labels, counts), 1e-7)
    for scores, strength in zip(found, strengths.tolist(), strict=True):
        # Theirs penalises the intercept; less so the larger its input.
        theirs = LinearSVC(C=strength, dual=False, intercept_scaling=1e3, tol=1e-10, max_iter=10_000)
        expected = theirs.fit(vectors, labels, sample_weight=counts).decision_function(vectors)
        np.testing.assert_allclose(scores.squeeze(), expected, atol=1e-3)


def test_an_image_that_counts_twice_is_two_images() -> None:
    vectors, labels, counts = data(60, 5, 3)
    whole = [np.repeat(each, counts, axis=0) for each in (vectors, labels, np.ones_like(counts))]
    model, strengths = LinearModel(3, LOGISTIC), torch.tensor([0.1], dtype=torch.float64)
    weighted, repeated = (
        fit_models(model, Vectors(*map(torch.from_numpy, values)), strengths, 1e-8)
        for values in ((vectors, labels, counts), whole)
    )
    torch.testing.assert_close(weighted, repeated, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("loss", "classes"), [(LOGISTIC, 2), (LOGISTIC, 3), (SQUARED_HINGE, 3)])
def test_a_model_is_done_where_its_gradient_in_float64_is_0_to_the_tolerance(loss: Loss, classes: int) -> None:
    vectors, labels, counts = map(torch.from_numpy, data(200, 90, classes))
    vectors[:, 3] *= 30  # float32 cannot tell its gradient from 0
    strengths = torch.tensor([1e-3, 0.1, 3.0], dtype=torch.float64)
    weights = fit_models(LinearModel(classes, loss), Vectors(vectors, labels, counts), strengths, 1e-8)
    for each, strength in zip(weights, strengths, strict=True):
        point = each.clone().requires_grad_()
        losses = loss.of((vectors @ point[:, :-1].T + point[:, -1])[:, None], labels)[:, 0]
        penalty = point[:, :-1].square().sum() / (2 * strength)
        (((losses * counts).sum() + penalty) / counts.sum()).backward()
        assert point.grad is not None and float(point.grad.abs().max()) <= 1.01e-8


def test_the_leading_axes_are_those_of_the_largest_variances() -> None:
    rng = np.random.default_rng(0)
    widths = np.concatenate([np.linspace(9, 4, 64), np.full(136, 0.1)])
    turned = np.linalg.qr(rng.normal(size=(200, 200)))[0]
    vectors = torch.from_numpy(rng.normal(size=(400, 200)) * widths @ turned)
    found = LeadingAxes.of(Vectors(vectors, torch.zeros(400), torch.ones(400)))
    variances, axes = np.linalg.eigh(vectors.numpy().T @ vectors.numpy() / 400)
    np.testing.assert_allclose(found.variances, variances[-64:], rtol=1e-3)
    inside = np.linalg.svd(found.axes.numpy().T @ axes[:, -64:], compute_uv=False)
    assert inside.min() > 0.999
    gradient = torch.from_numpy(rng.normal(size=201))
    solved = found.solve(gradient[None, None], torch.full((1, 1), 0.25), torch.full((1, 1, 1), 0.5))[0, 0].numpy()
    hessian = 0.25 * vectors.numpy().T @ vectors.numpy() / 400 + 0.5 * np.eye(200)
    np.testing.assert_allclose(hessian @ solved[:-1], gradient[:-1], atol=0.05)
    assert solved[-1] == pytest.approx(float(gradient[-1]) / 0.25)
