"""Regularised linear models as probes fit them: their losses, and the axes in which they are fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softplus

RANK_TOLERANCE = 1e-12  # of the variance along an axis to the largest
LEAST_CURVATURE = 1e-12


class Loss(NamedTuple):
    """A convex loss of scores [n, m, outputs] of m models, for classes [n].

    of: returns the losses [n, m] and their gradient [n, m, outputs]. curvature: the second derivatives, of that shape.
    """

    of: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    curvature: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Vectors:
    """Vectors [n, d] of images, their classes [n], and how often each image counts [n]."""

    features: Tensor
    labels: Tensor
    counts: Tensor

    def where(self, chosen: Tensor) -> "Vectors":
        """Those of the chosen images [n]."""
        return Vectors(self.features[chosen], self.labels[chosen], self.counts[chosen])

    def joined(self, features: NDArray[np.float32], labels: NDArray[np.int64]) -> "Vectors":
        """These and others [m, d] of these classes [m], each of which counts once."""
        return Vectors(
            torch.cat([self.features, torch.from_numpy(features).to(self.features)]),
            torch.cat([self.labels, torch.from_numpy(labels).to(self.labels)]),
            torch.cat([self.counts, self.counts.new_ones(len(labels))]),
        )

    @property
    def shares(self) -> Tensor:
        """The share of each image in a mean, in float64."""
        return self.counts.double() / self.counts.sum()


@dataclass(frozen=True)
class LinearModel:
    """A linear model of so many classes.

    It minimises the loss summed over the images plus the squared weights / (2 C), as those of scikit-learn do; the
    intercept is not regularised.
    """

    classes: int
    loss: Loss

    @property
    def outputs(self) -> int:
        """The scores of an image: of two classes one, which is for the second; else one for each class."""
        return 1 if self.classes == 2 else self.classes


def _logistic(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy; a single score is the log-odds of the second class."""
    if scores.shape[2] == 1:
        score, true = scores[..., 0], labels[:, None].to(scores.dtype)
        return softplus(score) - true * score, (score.sigmoid() - true)[..., None]
    log_shares = log_softmax(scores, dim=2)
    true = one_hot(labels, scores.shape[2])[:, None].to(scores.dtype)
    return -(log_shares * true).sum(dim=2), log_shares.exp() - true


def _squared_hinge(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Squared hinge, each score of one class against all others."""
    outputs = scores.shape[2]
    true = labels[:, None] if outputs == 1 else one_hot(labels, outputs)
    sign = (2 * true - 1)[:, None].to(scores.dtype)
    short = (1 - sign * scores).clamp(min=0)
    return short.square().sum(dim=2), -2 * sign * short


def _logistic_curvature(scores: Tensor, _labels: Tensor) -> Tensor:
    shares = scores.sigmoid() if scores.shape[2] == 1 else scores.softmax(dim=2)
    return shares * (1 - shares)


def _hinge_curvature(scores: Tensor, labels: Tensor) -> Tensor:
    return 2 * (_squared_hinge(scores, labels)[1] != 0).to(scores.dtype)


LOGISTIC, SQUARED_HINGE = Loss(_logistic, _logistic_curvature), Loss(_squared_hinge, _hinge_curvature)


class Problem:
    """Models with several values of C on the same vectors, in the principal axes of these.

    There the curvature is nearly diagonal, so that a fit takes few steps. A point [p] is all that one model learns.
    """

    def __init__(self, model: LinearModel, vectors: Vectors, strengths: Tensor) -> None:
        self._model, self._labels, self._shares = model, vectors.labels, vectors.shares[:, None]
        self._axes = _principal_axes(vectors)
        ones = vectors.features.new_ones(len(vectors.features), 1)
        self._features = torch.cat([vectors.features @ self._axes, ones], dim=1)
        self._squares = self._features.square()
        penalty = 1 / (strengths * vectors.counts.sum())
        self._penalty = penalty[:, None, None].repeat(1, 1, self._features.shape[1])
        self._penalty[..., -1] = 0

    def start(self) -> Tensor:
        """The points where all weights are 0, one for each value of C."""
        return self._penalty.new_zeros(len(self._penalty), self._model.outputs * self._penalty.shape[2])

    def evaluate(self, points: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """What the models minimise [m], at these points, and its gradient [m, p]. which: their values of C."""
        weights = self._shaped(points)
        losses, slopes = self._model.loss.of(self._scores(weights), self._labels)
        pull = self._penalty[which] * weights
        value = (losses * self._shares).sum(dim=0) + (pull * weights).sum(dim=(1, 2)) / 2
        return value, (self._summed(slopes, self._features).view_as(weights) + pull).flatten(1)

    def curvature(self, points: Tensor, which: Tensor) -> Tensor:
        """The second derivative along every axis at these points [m, p]."""
        weights = self._shaped(points)
        curved = self._model.loss.curvature(self._scores(weights), self._labels)
        found = self._summed(curved, self._squares).view_as(weights) + self._penalty[which]
        return found.clamp(min=LEAST_CURVATURE).flatten(1)

    def weights(self, points: Tensor) -> Tensor:
        """The weights of the vectors themselves, the intercept last: [m, outputs, d + 1]."""
        shaped = self._shaped(points)
        return torch.cat([shaped[..., :-1] @ self._axes.T, shaped[..., -1:]], dim=2)

    def _shaped(self, points: Tensor) -> Tensor:
        return points.view(len(points), self._model.outputs, self._penalty.shape[2])

    def _scores(self, weights: Tensor) -> Tensor:
        models, outputs, _ = weights.shape
        scores: Tensor = self._features @ weights.flatten(0, 1).T
        return scores.view(-1, models, outputs)

    def _summed(self, values: Tensor, features: Tensor) -> Tensor:
        """Values [n, m, outputs] times the features of their images, the mean over the images."""
        found: Tensor = (values * self._shares[..., None]).flatten(1).T @ features
        return found


def _principal_axes(vectors: Vectors) -> Tensor:
    """The axes [d, r] along which the vectors vary; the weights of a solution lie in their span."""
    weighted = vectors.features * vectors.shares.sqrt()[:, None]
    in_images = weighted.shape[0] < weighted.shape[1]  # the smaller of two matrices with the same variances
    variances: Tensor
    axes: Tensor
    variances, axes = torch.linalg.eigh(weighted @ weighted.T if in_images else weighted.T @ weighted)
    if in_images:
        spanned = variances > RANK_TOLERANCE * variances[-1]
        axes = weighted.T @ axes[:, spanned] / variances[spanned].sqrt()
    return axes
