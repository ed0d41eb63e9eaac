"""Probes on small vectors: what they choose, and that they predict what scikit-learn would."""

import copy

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from torch import Tensor

from harness.models.heads import make_head
from harness.models.linear_models import Vectors
from harness.models.probes import LOGISTIC_C, NEIGHBOURS, TEMPERATURE, KnnProbe, ProbeHead, platt
from harness.study.allowed import PROBES
from harness.study.settings import Settings

CHANNELS = 8


def vectors(images: int, classes: int, noise: float = 1.0, seed: int = 0) -> Vectors:
    """Clouds around the corners of a cube, and how often each vector counts."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % classes
    centres = torch.eye(CHANNELS)[:classes] * 3
    features = centres[labels] + noise * torch.randn(images, CHANNELS, generator=generator) + 5
    return Vectors(features, labels, torch.randint(1, 4, (images,), generator=generator))


def probe_of(name: str, classes: int) -> ProbeHead:
    probe = make_head(Settings(backbone="any", head=name), (CHANNELS, 1, 1), classes)
    assert isinstance(probe, ProbeHead)
    return probe


def held_out_of(count: int) -> Tensor:
    return torch.arange(count) % 5 == 0


def fitted(probe: ProbeHead, known: Vectors, held_out: Tensor) -> dict[str, float]:
    """Fit a probe that chooses by the images held out, and return what it chose."""
    return probe.fit(known, known.where(~held_out), known.where(held_out))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", PROBES)
def test_a_fitted_probe_separates_and_gives_the_same_bits_twice_and_after_loading(name: str, classes: int) -> None:
    known, new = vectors(150, classes), vectors(60, classes, seed=1)
    first, second, loaded = (probe_of(name, classes) for _ in range(3))
    assert fitted(first, known, held_out_of(150)) == fitted(second, known, held_out_of(150))
    loaded.load_state_dict(copy.deepcopy(first.state_dict()))
    logits = first(new.features)
    assert torch.equal(logits, second(new.features)) and torch.equal(logits, loaded(new.features))
    maps = new.features[:, :, None, None].repeat(1, 1, 2, 2)
    torch.testing.assert_close(first(maps).softmax(dim=1), logits.softmax(dim=1))
    assert (logits.argmax(dim=1) == new.labels).float().mean() > 0.85
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_the_logistic_probe_is_scikit_learns_at_the_c_that_predicts_the_images_held_out_best() -> None:
    known, held_out, new = vectors(200, 3, noise=3.0), held_out_of(200), vectors(50, 3, noise=3.0, seed=1)
    features, labels, counts = (each.numpy() for each in (known.features.double(), known.labels, known.counts))
    mean = np.average(features, axis=0, weights=counts)
    scale = np.average((features - mean) ** 2, axis=0, weights=counts) ** 0.5
    probe = probe_of("logistic", 3)
    chosen = fitted(probe, known, held_out)["C"]
    exact = LogisticRegression(C=chosen, tol=1e-9, max_iter=10_000)
    exact.fit((features - mean) / scale, labels, sample_weight=counts)
    expected = exact.predict_proba((new.features.double().numpy() - mean) / scale)
    np.testing.assert_allclose(probe(new.features).softmax(dim=1).numpy(), expected, atol=1e-4)
    assert chosen == pytest.approx(_best_c(known, held_out))
    assert LOGISTIC_C[0] < chosen < LOGISTIC_C[-1]


def _best_c(known: Vectors, held_out: Tensor) -> float:
    kept, held = known.where(~held_out), known.where(held_out)
    features, others = kept.features.double().numpy(), held.features.double().numpy()
    mean = np.average(features, axis=0, weights=kept.counts)
    scale = np.average((features - mean) ** 2, axis=0, weights=kept.counts) ** 0.5
    losses = []
    for strength in LOGISTIC_C.tolist():
        model = LogisticRegression(C=strength, tol=1e-7, max_iter=10_000)
        model.fit((features - mean) / scale, kept.labels.numpy(), sample_weight=kept.counts.numpy())
        shares = model.predict_proba((others - mean) / scale)
        true = shares[np.arange(len(shares)), held.labels]
        losses.append(np.average(-np.log(true), weights=held.counts))
    return float(LOGISTIC_C[int(np.argmin(losses))])


def test_the_neighbours_vote_as_those_of_scikit_learn() -> None:
    known, held_out, new = vectors(90, 3, noise=4.0), held_out_of(90), vectors(40, 3, noise=4.0, seed=1)
    probe = probe_of("knn", 3)
    chosen = fitted(probe, known, held_out)["k"]
    repeated = known.counts.numpy()
    model = KNeighborsClassifier(int(chosen), metric="cosine", weights=lambda d: np.exp((1 - d) / TEMPERATURE))
    model.fit(known.features.double().numpy().repeat(repeated, axis=0), known.labels.numpy().repeat(repeated))
    expected = model.predict_proba(new.features.double().numpy())
    np.testing.assert_allclose(probe(new.features).softmax(dim=1).numpy(), expected, atol=1e-4)
    assert chosen in NEIGHBOURS and chosen > 1


def test_there_are_no_more_neighbours_than_training_images() -> None:
    few = vectors(10, 2, noise=9.0)
    probe = probe_of("knn", 2)
    assert fitted(probe, few, held_out_of(10))["k"] <= int(few.where(~held_out_of(10)).counts.sum())
    assert isinstance(probe, KnnProbe) and len(probe.vectors) == 10


def test_the_scores_of_a_support_vector_machine_are_calibrated_as_platt_did() -> None:
    known = vectors(80, 2, noise=4.0)
    features, labels = known.features.numpy(), known.labels.numpy()
    machine = LinearSVC(C=0.01).fit(features, labels)
    calibrated = CalibratedClassifierCV(FrozenEstimator(machine), method="sigmoid", cv=5).fit(features, labels)
    scores = machine.decision_function(features)
    slope, offset = platt(torch.from_numpy(scores), known.labels == 1, torch.ones(80)).tolist()
    expected = calibrated.predict_proba(features)[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-(slope * scores + offset))), expected, atol=1e-3)


def test_a_constant_channel_is_no_reason_to_fail() -> None:
    known = vectors(60, 2)
    known.features[:, 3] = 0.25
    for name in PROBES:
        probe = probe_of(name, 2)
        fitted(probe, known, held_out_of(60))
        assert probe(known.features).softmax(dim=1).isfinite().all()
