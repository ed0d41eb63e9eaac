"""Fit linear models with many values of C at once: one L-BFGS, with a column, a step size and an end for each.

What one model after the other would compute as matrix-vector products is one matrix product here. Scores are linear in
the points, so that a search along a direction needs no further product, however many sizes it tries.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.models.leading_axes import LeadingAxes
from harness.models.linear_models import LinearModel, Problem, Vectors

HISTORY = 10  # moves from which the curvature is estimated
STEPS_BETWEEN_CURVATURES = 3  # computed from the scores
MAX_STEPS, MAX_SIZES = 1000, 20
FLAT = 0.3  # of the slope along a direction, that is left where a step ends (Hager and Zhang 2005)
LEAST_PRODUCT = 1e-30  # of a move and the change of the gradient, whose inverse is a number in float32
ROUGH_TOLERANCE = 5e-6  # of a gradient, which float32 can tell from 0


def fit_models(model: LinearModel, vectors: Vectors, strengths: Tensor, tolerance: float) -> Tensor:
    """Fit the model with each value of C [m] to standardised vectors in float64.

    Returns the weights [m, outputs, d + 1], the intercept last. A model is done where no element of the gradient of its
    mean loss is above the tolerance, as of scikit-learn's. Most steps are in float32, which is twice as quick; those in
    float64 begin where these end, and decide what is done.
    """
    rough = Vectors(vectors.features.float(), vectors.labels, vectors.counts)
    axes = LeadingAxes.of(rough)
    problem = Problem(model, rough, strengths)
    points = _minimised(problem, axes, problem.start(), max(tolerance, ROUGH_TOLERANCE))
    problem = Problem(model, vectors, strengths)
    return problem.weights(_minimised(problem, axes.double(), points.double(), tolerance))


def _minimised(problem: Problem, axes: LeadingAxes, start: Tensor, tolerance: float) -> Tensor:
    """The points [m, p] where the models that began at others are done."""
    found, going = start.clone(), _Columns.at(start, problem)
    for step in range(1, MAX_STEPS + 1):
        going = going.where(going.gradient.abs().amax(dim=1) > tolerance)
        if not len(going.which):
            break
        moved = going.step(problem, axes)
        found[going.which] = going.points
        going = going.where(moved)
        if step % STEPS_BETWEEN_CURVATURES == 0:
            going.curvature = problem.curvature(going.scores)
    return found


@dataclass
class _Columns:
    """The models that are not done. which: their values of C. moves, changes: the last ones, and of the gradient."""

    which: Tensor  # [m]
    points: Tensor  # [m, p]
    scores: Tensor  # [n, m, outputs]
    gradient: Tensor  # [m, p]
    curvature: Tensor  # [m, outputs]
    moves: list[Tensor]
    changes: list[Tensor]

    @staticmethod
    def at(points: Tensor, problem: Problem) -> "_Columns":
        """All models, at these points."""
        which, scores = torch.arange(len(points), device=points.device), problem.scores(points)
        gradient = problem.gradient(points, problem.slopes(scores), which)
        return _Columns(which, points, scores, gradient, problem.curvature(scores), [], [])

    def where(self, chosen: Tensor) -> "_Columns":
        """The chosen models."""
        if chosen.all():
            return self
        moves, changes = ([each[chosen] for each in every] for every in (self.moves, self.changes))
        which, points, scores = self.which[chosen], self.points[chosen], self.scores[:, chosen]
        return _Columns(which, points, scores, self.gradient[chosen], self.curvature[chosen], moves, changes)

    def step(self, problem: Problem, axes: LeadingAxes) -> Tensor:
        """Move every model down its slope, and return which ones have moved: others are as low as the numbers tell."""
        direction = self._direction(problem, axes)
        along = _Line(self, problem, direction)
        size = along.size()
        move = torch.where(size[:, None] > 0, size[:, None] * direction, 0)  # a direction may have overflowed
        points, scores = self.points + move, self.scores + size[:, None] * along.scores
        gradient = problem.gradient(points, problem.slopes(scores), self.which)
        self.moves = [*self.moves, move][-HISTORY:]
        self.changes = [*self.changes, gradient - self.gradient][-HISTORY:]
        self.points, self.scores, self.gradient = points, scores, gradient
        return size > 0

    def _direction(self, problem: Problem, axes: LeadingAxes) -> Tensor:
        """The direction of each model by its own moves, in two loops (Nocedal and Wright 2006, algorithm 7.4)."""
        found, factors = -self.gradient, list[tuple[Tensor, Tensor]]()
        for move, change in zip(reversed(self.moves), reversed(self.changes), strict=True):
            product = (move * change).sum(dim=1, keepdim=True)
            inverse = torch.where(product > LEAST_PRODUCT, 1 / product, 0)
            alpha = inverse * (move * found).sum(dim=1, keepdim=True)
            found = found - alpha * change
            factors.append((inverse, alpha))
        shaped = axes.solve(problem.weights(found), self.curvature, problem.penalty(self.which))
        found = shaped.flatten(1)
        for move, change, (inverse, alpha) in zip(self.moves, self.changes, reversed(factors), strict=True):
            found = found + move * (alpha - inverse * (change * found).sum(dim=1, keepdim=True))
        return found


class _Line:
    """The slope [m] of what each model minimises along its direction, by the size of the step."""

    def __init__(self, columns: _Columns, problem: Problem, direction: Tensor) -> None:
        self._problem, self._from = problem, columns.scores
        self.scores = problem.scores(direction)
        pull = problem.pull(direction, columns.which)
        self._pull, self._pull_per_size = (columns.points * pull).sum(dim=1), (direction * pull).sum(dim=1)
        self._first = (columns.gradient * direction).sum(dim=1)

    def size(self) -> Tensor:
        """The size [m] of each step: 1, or where the slope is nearly 0; 0 where nothing leads further down.

        What is minimised is convex: its slope rises along the line, and goes through 0 between a low and a high size.
        """
        first = self._first
        low, high = torch.zeros_like(first), torch.full_like(first, torch.inf)
        at_low, at_high, size = first, torch.zeros_like(first), (first < 0).to(first.dtype)
        for _ in range(MAX_SIZES):
            slope = self._slope(size)
            done = (slope.abs() <= FLAT * first.abs()) | ~(first < 0)
            if done.all():
                return size
            down = slope < 0
            low, at_low = torch.where(down, size, low), torch.where(down, slope, at_low)
            high, at_high = torch.where(down, high, size), torch.where(down, at_high, slope)
            size = torch.where(done, size, _between(low, high, at_low, at_high, first))
        return torch.where(done, size, low)

    def _slope(self, size: Tensor) -> Tensor:
        slopes = self._problem.slopes(self._from + size[:, None] * self.scores)
        return (slopes * self.scores).sum(dim=(0, 2)) + self._pull + size * self._pull_per_size


def _between(low: Tensor, high: Tensor, at_low: Tensor, at_high: Tensor, first: Tensor) -> Tensor:
    """The next size to try: where a line through the slopes at both ends is 0, if that is well inside; else half-way.

    While no size is too large, where a line through the first slope and the last is 0, at most four times as far.
    """
    further = (low * first / (first - at_low)).clamp(min=1.5 * low, max=4 * low)
    inside = low - at_low * (high - low) / (at_high - at_low)
    margin = (high - low) / 20
    well = (inside > low + margin) & (inside < high - margin)
    return torch.where(high.isinf(), further, torch.where(well, inside, (low + high) / 2))
