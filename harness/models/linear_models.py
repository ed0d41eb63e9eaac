"""Regularised linear models as probes fit them: their losses and what they minimise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softplus

LEAST_CURVATURE = 1e-12


class Loss(NamedTuple):
    """A convex loss of scores [n, m, outputs] of m models, for classes [n].

    of: the losses [n, m]. slope: their first derivatives [n, m, outputs]. curvature: the second ones, of that shape.
    """

    of: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
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


def _logistic(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy; a single score is the log-odds of the second class."""
    if scores.shape[2] == 1:
        score = scores[..., 0]
        return softplus(score) - labels[:, None].to(score.dtype) * score
    return -(log_softmax(scores, dim=2) * _true(scores, labels)).sum(dim=2)


def _logistic_slope(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.sigmoid() if scores.shape[2] == 1 else scores.softmax(dim=2)) - _true(scores, labels)


def _logistic_curvature(scores: Tensor, _labels: Tensor) -> Tensor:
    shares = scores.sigmoid() if scores.shape[2] == 1 else scores.softmax(dim=2)
    return shares * (1 - shares)


def _squared_hinge(scores: Tensor, labels: Tensor) -> Tensor:
    """Squared hinge, each score of one class against all others."""
    return _short(scores, labels)[0].square().sum(dim=2)


def _hinge_slope(scores: Tensor, labels: Tensor) -> Tensor:
    short, sign = _short(scores, labels)
    return -2 * sign * short


def _hinge_curvature(scores: Tensor, labels: Tensor) -> Tensor:
    return 2 * (_short(scores, labels)[0] > 0).to(scores.dtype)


def _short(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """How far each score is short of the margin [n, m, outputs], and the sign that it should have [n, 1, outputs]."""
    sign = 2 * _true(scores, labels) - 1
    return (1 - sign * scores).clamp(min=0), sign


def _true(scores: Tensor, labels: Tensor) -> Tensor:
    """1 for the class of an image, or for the second of two with one score, else 0: [n, 1, outputs]."""
    outputs = scores.shape[2]
    true = labels[:, None] if outputs == 1 else one_hot(labels, outputs)
    return true[:, None].to(scores.dtype)


LOGISTIC = Loss(_logistic, _logistic_slope, _logistic_curvature)
SQUARED_HINGE = Loss(_squared_hinge, _hinge_slope, _hinge_curvature)


class Problem:
    """Models with several values of C on the same vectors. A point [p] is all that one model learns.

    Its numbers are of the type of the vectors. which: the values of C of the points.
    """

    def __init__(self, model: LinearModel, vectors: Vectors, strengths: Tensor) -> None:
        self._model, self._features, self._labels = model, vectors.features, vectors.labels
        self._shares = vectors.shares.to(self._features.dtype)[:, None, None]
        self._penalty = (1 / (strengths * vectors.counts.sum())).to(self._features.dtype)[:, None, None]

    def start(self) -> Tensor:
        """The points where all weights are 0, one for each value of C."""
        return self._features.new_zeros(len(self._penalty), self._model.outputs * (self._features.shape[1] + 1))

    def scores(self, points: Tensor) -> Tensor:
        """The scores [n, m, outputs] of the vectors: linear in the points."""
        models = self.weights(points)
        found = self._features @ models[..., :-1].flatten(0, 1).T
        return found.view(-1, *models.shape[:2]) + models[..., -1]

    def slopes(self, scores: Tensor) -> Tensor:
        """The first derivatives of the mean loss by the scores [n, m, outputs]."""
        return self._model.loss.slope(scores, self._labels) * self._shares

    def gradient(self, points: Tensor, slopes: Tensor, which: Tensor) -> Tensor:
        """The gradient [m, p] of what the models minimise, at points whose scores have these slopes."""
        by_score = slopes.flatten(1).T.contiguous()
        by_weight = torch.cat([by_score @ self._features, by_score.sum(dim=1, keepdim=True)], dim=1)
        return by_weight.view_as(points) + self.pull(points, which)

    def pull(self, points: Tensor, which: Tensor) -> Tensor:
        """The gradient [m, p] of the penalty; linear in the points."""
        pulled = self._penalty[which] * self.weights(points)
        pulled[..., -1] = 0  # the intercept is free
        return pulled.flatten(1)

    def curvature(self, scores: Tensor) -> Tensor:
        """The mean second derivative [m, outputs] of the loss by each score."""
        curved = self._model.loss.curvature(scores, self._labels) * self._shares
        return curved.sum(dim=0).clamp(min=LEAST_CURVATURE)

    def penalty(self, which: Tensor) -> Tensor:
        """The second derivative of the penalty by the weights [m, 1, 1]."""
        return self._penalty[which]

    def weights(self, points: Tensor) -> Tensor:
        """The points as weights of the vectors, the intercept last: [m, outputs, d + 1]."""
        return points.view(len(points), self._model.outputs, self._features.shape[1] + 1)
