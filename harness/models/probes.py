"""Probes: heads that learn from the vectors of a frozen backbone in one go, choosing by an inner split.

Each is a module that predicts by itself once it is fitted: what it learns is stored as parameters.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid, normalize, one_hot

from harness.models.heads import Reads, Shape
from harness.models.lbfgs import fit_models
from harness.models.linear_models import LOGISTIC, SQUARED_HINGE, LinearModel, Loss, Vectors
from harness.study.settings import Settings

LOGISTIC_C = torch.logspace(-6, 5, 45, dtype=torch.float64)
SVM_C = torch.logspace(-5, 0, 6, dtype=torch.float64)
NEIGHBOURS, TEMPERATURE = (1, 5, 10, 20, 50, 100, 200), 0.07  # DINO's (Caron et al. 2021), and fewer for small data
TOLERANCE, FINAL_TOLERANCE = 5e-6, 3e-8  # of a gradient: of the models that are compared, and of the one that predicts
ROWS_AT_A_TIME = 1024  # whose similarities to all others are in memory
Chosen = dict[str, float]


class ProbeHead(nn.Module):
    """A head that `fit` makes in one go: vectors [n, C], or maps that it averages, -> logits [n, classes]."""

    def __init__(self, shape: Shape, classes: int, _settings: Settings) -> None:
        super().__init__()
        self.channels, self.classes = shape[0], classes

    def reads(self) -> Reads:
        """The means, which of a vector are itself."""
        return "means"

    def fit(self, vectors: Vectors, kept: Vectors, held: Vectors) -> Chosen:
        """Fit to all vectors, with what suits the images held out best after a fit to those kept; return it."""
        raise NotImplementedError

    def score(self, vectors: Tensor) -> Tensor:
        """The logits of vectors [n, C]."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        return self.score(features if features.ndim == 2 else features.mean(dim=(2, 3)))


class _LinearProbe(ProbeHead):
    """A linear model of standardised vectors: C has the least loss of the images held out."""

    loss: Loss
    strengths: Tensor

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__(shape, classes, settings)
        self._model = LinearModel(classes, self.loss)
        self.centre, self.scale = _learnt(torch.zeros(self.channels)), _learnt(torch.ones(self.channels))
        self.weight = _learnt(torch.zeros(self._model.outputs, self.channels))
        self.bias = _learnt(torch.zeros(self._model.outputs))

    def fit(self, vectors: Vectors, kept: Vectors, held: Vectors) -> Chosen:
        strengths = self.strengths.to(vectors.features.device)
        scores = self._scores(held, kept, strengths)
        losses = held.shares @ self.loss.of(scores, held.labels)
        best = losses.argmin()
        self.calibrate(scores[:, best], held)
        self._learn(vectors, strengths[best])
        return {"C": float(strengths[best])}

    def calibrate(self, scores: Tensor, held: Vectors) -> None:
        """Learn to read the scores [n, outputs] of images held out as probabilities; here they need nothing."""

    def linear(self, vectors: Tensor) -> Tensor:
        """The scores [n, outputs] of vectors [n, C]."""
        return linear((vectors - self.centre) / self.scale, self.weight, self.bias)

    def _scores(self, held: Vectors, kept: Vectors, strengths: Tensor) -> Tensor:
        """The scores [n, m, outputs] of the images held out by the models fitted to the others."""
        centre, scale = _standard(kept)
        weights = self._fitted(kept, centre, scale, strengths, TOLERANCE)
        features = (held.features.double() - centre) / scale
        return torch.einsum("nc,moc->nmo", features, weights[..., :-1]) + weights[..., -1]

    def _learn(self, vectors: Vectors, strength: Tensor) -> None:
        centre, scale = _standard(vectors)
        (weights,) = self._fitted(vectors, centre, scale, strength[None], FINAL_TOLERANCE)
        self.centre, self.scale = _learnt(centre), _learnt(scale)
        self.weight, self.bias = _learnt(weights[:, :-1]), _learnt(weights[:, -1])

    def _fitted(self, vectors: Vectors, centre: Tensor, scale: Tensor, strengths: Tensor, tolerance: float) -> Tensor:
        standard = Vectors((vectors.features.double() - centre) / scale, vectors.labels, vectors.counts)
        return fit_models(self._model, standard, strengths, tolerance)


class LogisticProbe(_LinearProbe):
    """Logistic regression with L2, multinomial where there are more than two classes, as scikit-learn's."""

    loss, strengths = LOGISTIC, LOGISTIC_C

    def score(self, vectors: Tensor) -> Tensor:
        return _two_sided(self.linear(vectors))


class SvmProbe(_LinearProbe):
    """A linear support vector machine: squared hinge, one class against the others, as scikit-learn's LinearSVC.

    Its probabilities are Platt's (1999): a sigmoid of each score, fitted to the images held out, then normalised.
    """

    loss, strengths = SQUARED_HINGE, SVM_C

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__(shape, classes, settings)
        self.slope, self.offset = (_learnt(torch.zeros(self._model.outputs)) for _ in range(2))

    def calibrate(self, scores: Tensor, held: Vectors) -> None:
        targets = [held.labels == (1 if self._model.outputs == 1 else k) for k in range(self._model.outputs)]
        found = [platt(score, true, held.counts) for score, true in zip(scores.unbind(1), targets, strict=True)]
        self.slope, self.offset = map(_learnt, torch.stack(found, dim=1))

    def score(self, vectors: Tensor) -> Tensor:
        calibrated = self.linear(vectors) * self.slope + self.offset
        return _two_sided(calibrated) if self.classes == 2 else logsigmoid(calibrated)


class KnnProbe(ProbeHead):
    """The k nearest training images in cosine similarity vote for their classes, by exp(similarity / TEMPERATURE).

    k has the least Brier score of the images held out; log loss is infinite where no neighbour is of the true class.
    An image that oversampling drew several times counts as so many neighbours.
    """

    def __init__(self, shape: Shape, classes: int, settings: Settings) -> None:
        super().__init__(shape, classes, settings)
        self.vectors = _learnt(torch.zeros(1, self.channels))
        self.labels, self.counts, self.k = (_learnt(torch.ones(1, dtype=torch.int64)) for _ in range(3))
        self._k = 1  # what is in `k`, for graphs whose shapes are fixed

    def fit(self, vectors: Vectors, kept: Vectors, held: Vectors) -> Chosen:
        self._store(kept)
        true, parts = one_hot(held.labels, self.classes), torch.split(held.features, ROWS_AT_A_TIME)
        found = [self._nearest(part, NEIGHBOURS[-1]) for part in parts]
        errors = {}
        for k in [k for k in NEIGHBOURS if k <= kept.counts.sum()]:
            votes = torch.cat([self._votes(*nearest, k) for nearest in found])
            errors[k] = float(held.shares @ (votes - true).square().sum(dim=1).double())
        best = min(errors, key=lambda k: errors[k])
        self._store(vectors)
        self.k, self._k = _learnt(torch.full_like(self.k, best)), best
        return {"k": float(best)}

    def score(self, vectors: Tensor) -> Tensor:
        return self._votes(*self._nearest(vectors, self._k), self._k).log()

    def _store(self, vectors: Vectors) -> None:
        self.vectors = _learnt(normalize(vectors.features, dim=1))
        self.labels, self.counts = _learnt(vectors.labels), _learnt(vectors.counts)

    def _nearest(self, vectors: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The similarity and the row of the nearest training images, [n, k] or fewer, the nearest first."""
        similarity, rows = (normalize(vectors, dim=1) @ self.vectors.T).topk(min(k, len(self.vectors)))
        return similarity, rows

    def _votes(self, similarity: Tensor, rows: Tensor, k: int) -> Tensor:
        """The share [n, classes] of each class among the k nearest."""
        counts = self.counts[rows]
        before = counts.cumsum(dim=1) - counts
        counted = torch.minimum(counts, (k - before).clamp(min=0))
        weight = counted * ((similarity - similarity[:, :1]) / TEMPERATURE).exp()
        votes = (weight[..., None] * one_hot(self.labels[rows], self.classes)).sum(dim=1)
        return votes / votes.sum(dim=1, keepdim=True)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """Make room for as many training images as the state has."""
        if (stored := state.get(f"{prefix}k")) is not None:
            self._k = int(stored)
        for name in ("vectors", "labels", "counts"):
            if (stored := state.get(prefix + name)) is not None:
                setattr(self, name, _learnt(torch.empty_like(stored, device=self.k.device)))
        super()._load_from_state_dict(state, prefix, *others)


def platt(scores: Tensor, positive: Tensor, counts: Tensor) -> Tensor:
    """The slope and the offset of a sigmoid that reads scores [n] as probabilities, with Platt's softened targets."""
    total = torch.stack([counts[~positive].sum(), counts[positive].sum()]).double()
    target = torch.where(positive, (total[1] + 1) / (total[1] + 2), 1 / (total[0] + 2))
    twice = Vectors(
        scores.double().repeat(2)[:, None],
        torch.arange(2, device=scores.device).repeat_interleave(len(scores)),
        torch.cat([(1 - target) * counts, target * counts]),
    )
    without_penalty = torch.full((1,), torch.inf, dtype=torch.float64, device=scores.device)
    return fit_models(LinearModel(2, LOGISTIC), twice, without_penalty, FINAL_TOLERANCE)[0, 0]


def _standard(vectors: Vectors) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [C] of the vectors; 1 for a channel that is constant."""
    features = vectors.features.double()
    mean = vectors.shares @ features
    deviation = (vectors.shares @ (features - mean).square()).sqrt()
    return mean, torch.where(deviation > 1e-12 * mean.abs(), deviation, 1)


def _two_sided(scores: Tensor) -> Tensor:
    """The logits of both classes, of log-odds [n, 1]; scores of more classes are logits."""
    return scores if scores.shape[1] > 1 else torch.cat([torch.zeros_like(scores), scores], dim=1)


def _learnt(values: Tensor) -> nn.Parameter:
    """A parameter that is counted and saved like any other, but not trained by gradients."""
    return nn.Parameter(values.float() if values.is_floating_point() else values, requires_grad=False)
