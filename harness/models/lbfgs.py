"""Fit linear models with many values of C at once: one L-BFGS, with a column, a step size and an end for each.

What one model after the other would compute as matrix-vector products is one matrix product here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.models.linear_models import LinearModel, Problem, Vectors

HISTORY = 10  # moves from which the curvature is estimated
STEPS_BETWEEN_CURVATURES = 5  # computed along the axes
MAX_STEPS, MAX_HALVINGS = 1000, 30
SUFFICIENT = 1e-4  # part of the decrease that the slope promises (Armijo 1966)


def fit_models(model: LinearModel, vectors: Vectors, strengths: Tensor, tolerance: float) -> Tensor:
    """Fit the model with each value of C [m] to standardised vectors in float64.

    Returns the weights [m, outputs, d + 1], the intercept last. A model is done where no element of the gradient of its
    mean loss is above the tolerance, as of scikit-learn's.
    """
    problem = Problem(model, vectors, strengths)
    found = problem.start()
    going = _Columns.at(found, problem)
    for step in range(1, MAX_STEPS + 1):
        done = going.step(problem) | (going.gradient.abs().amax(dim=1) <= tolerance)
        found[going.which] = going.points
        going = going.where(~done)
        if not len(going.which):
            break
        if step % STEPS_BETWEEN_CURVATURES == 0:
            going.curvature = problem.curvature(going.points, going.which)
    return problem.weights(found)


@dataclass
class _Columns:
    """The models that are not done. which: their values of C. moves, changes: the last ones, and of the gradient."""

    which: Tensor  # [m]
    points: Tensor  # [m, p]
    value: Tensor  # [m]
    gradient: Tensor  # [m, p]
    curvature: Tensor  # [m, p]
    moves: list[Tensor]
    changes: list[Tensor]

    @staticmethod
    def at(points: Tensor, problem: Problem) -> "_Columns":
        """All models, at these points."""
        which = torch.arange(len(points), device=points.device)
        return _Columns(which, points, *problem.evaluate(points, which), problem.curvature(points, which), [], [])

    def where(self, chosen: Tensor) -> "_Columns":
        """The chosen models."""
        if chosen.all():
            return self
        moves, changes = ([each[chosen] for each in every] for every in (self.moves, self.changes))
        which, points, value = self.which[chosen], self.points[chosen], self.value[chosen]
        return _Columns(which, points, value, self.gradient[chosen], self.curvature[chosen], moves, changes)

    def step(self, problem: Problem) -> Tensor:
        """Move every model down its slope, and return which ones no step brings further down."""
        direction = self._direction()
        slope = (direction * self.gradient).sum(dim=1)
        size, todo = torch.ones_like(slope), torch.arange(len(slope), device=slope.device)
        points, value, gradient = self.points.clone(), self.value.clone(), self.gradient.clone()
        for _ in range(MAX_HALVINGS):
            moved = self.points[todo] + size[todo, None] * direction[todo]
            found, steepness = problem.evaluate(moved, self.which[todo])
            enough = found <= self.value[todo] + SUFFICIENT * size[todo] * slope[todo]
            done = todo[enough]
            points[done], value[done], gradient[done] = moved[enough], found[enough], steepness[enough]
            todo = todo[~enough]
            if not len(todo):
                break
            size[todo] /= 2
        self.moves = [*self.moves, points - self.points][-HISTORY:]
        self.changes = [*self.changes, gradient - self.gradient][-HISTORY:]
        self.points, self.value, self.gradient = points, value, gradient
        return torch.isin(torch.arange(len(slope), device=slope.device), todo)

    def _direction(self) -> Tensor:
        """The direction of each model by its own moves, in two loops (Nocedal and Wright 2006, algorithm 7.4)."""
        found, factors = -self.gradient, list[tuple[Tensor, Tensor]]()
        for move, change in zip(reversed(self.moves), reversed(self.changes), strict=True):
            product = (move * change).sum(dim=1, keepdim=True)
            inverse = torch.where(product > 0, 1 / product, 0)
            alpha = inverse * (move * found).sum(dim=1, keepdim=True)
            found = found - alpha * change
            factors.append((inverse, alpha))
        found = found / self.curvature
        for move, change, (inverse, alpha) in zip(self.moves, self.changes, reversed(factors), strict=True):
            found = found + move * (alpha - inverse * (change * found).sum(dim=1, keepdim=True))
        return found
