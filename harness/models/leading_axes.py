"""The axes along which vectors vary most: an estimate of the curvature of a linear model, which makes its fit short."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.models.linear_models import Vectors

AXES, MORE, PASSES = 64, 8, 2  # axes that are found; random ones with which the search begins, and its rounds
LEAST_VARIANCE = 1e-6  # along an axis, of the largest


@dataclass(frozen=True)
class LeadingAxes:
    """The leading principal axes of vectors [d, k], their variances [k], and the mean variance along all others [].

    With these the curvature of a model is easy to invert. It is an estimate, which decides how soon a fit is done and
    not where it ends.
    """

    axes: Tensor
    variances: Tensor
    rest: Tensor

    @staticmethod
    def of(vectors: "Vectors") -> "LeadingAxes":
        """Find them by a randomised search (Halko, Martinsson and Tropp 2011) that gives the same axes each time."""
        features = vectors.features * vectors.shares.to(vectors.features.dtype).sqrt()[:, None]
        count = min(AXES + MORE, *features.shape)
        basis = torch.randn(features.shape[1], count, generator=torch.Generator().manual_seed(0)).to(features)
        for _ in range(PASSES):
            basis = torch.linalg.qr(((features @ basis).T @ features).T)[0]
        inside = features @ basis
        variances, turned = torch.linalg.eigh(inside.T @ inside)
        variances, axes = variances[-AXES:], basis @ turned[:, -AXES:]
        left = features.square().sum() - variances.sum()
        least = LEAST_VARIANCE * variances[-1]
        rest = left / max(features.shape[1] - len(variances), 1)
        return LeadingAxes(axes, variances.clamp(min=least), rest.clamp(min=least))

    def double(self) -> "LeadingAxes":
        """The same in float64."""
        return LeadingAxes(self.axes.double(), self.variances.double(), self.rest.double())

    def solve(self, gradient: Tensor, curvature: Tensor, penalty: Tensor) -> Tensor:
        """Divide gradients [m, outputs, d + 1], the intercept last, by the curvature.

        curvature: of the loss by the scores [m, outputs]. penalty: of the weights [m, 1, 1].
        """
        curved, weights = curvature[..., None], gradient[..., :-1]
        plain = 1 / (curved * self.rest + penalty)
        along = (weights @ self.axes) * (1 / (curved * self.variances + penalty) - plain)
        return torch.cat([weights * plain + along @ self.axes.T, gradient[..., -1:] / curved], dim=2)
