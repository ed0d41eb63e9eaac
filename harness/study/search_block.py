"""The `search:` block of the study file: the space, the objective, the sampler and the pruner."""

import math
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PrivateAttr, model_validator

from harness.errors import HarnessError
from harness.study.conditions import Conditions, in_order, met
from harness.study.fit_costs import CostName
from harness.study.types import BUILT_IN, AnyMetric, Count, Model, higher_is_better

Point = dict[str, Any]  # a point of the space: its active parameters and their values
Number = int | float


class Dimension(Model):
    """One parameter: `choices`, or a range from `low` to `high`; it exists only for the values of others in `when`."""

    choices: Annotated[list[Any], Field(min_length=1)] | None = None
    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Annotated[Number, Field(gt=0)] | None = None
    when: Conditions = Field(default={})

    @model_validator(mode="after")
    def _complete(self) -> "Dimension":
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("choices stand alone; low, high, log and step make a range")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give `choices: [...]`, or `low:` and `high:`")
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be less than high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be more than 0 on a log scale")
        if self.log and self.step is not None:
            raise ValueError("a range has log or step, not both")
        return self

    @property
    def whole(self) -> bool:
        """Whether this is a range of integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step or 1, int)

    def holds(self, value: Any) -> bool:
        """Whether this parameter can take the value."""
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None and self.high is not None
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    @property
    def size(self) -> int:
        """The number of values; 0 for a range without a step, which is continuous."""
        if self.choices is not None:
            return len(self.choices)
        if self.step is None or self.low is None or self.high is None:
            return 0
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def levels(self) -> list[Any]:
        """All values in order: the choices, or the steps of the range."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None and self.step is not None
        levels = [self.low + i * self.step for i in range(self.size)]
        return levels if self.whole else [float(f"{level:.12g}") for level in levels]


class Objective(Model):
    """What a search optimizes: the mean of `metric` over the folds, and with `cost` a second objective."""

    metric: AnyMetric = "val/accuracy"
    direction: Literal["maximize", "minimize"] | None = None
    cost: CostName | None = None

    _greater_is_better: bool | None = PrivateAttr(default=None)  # of a metric of the user's own

    def resolve_metrics(self, greater: Mapping[str, bool]) -> None:
        """Set which own metrics are better the higher. Raises HarnessError where the direction is another one."""
        self._greater_is_better = greater.get(self.metric)
        if self.metric in greater and self.direction not in (None, self._better):
            raise HarnessError(self._other_direction)

    @property
    def maximize(self) -> bool:
        known = self._greater_is_better
        return higher_is_better(self.metric) if known is None else known

    @property
    def _better(self) -> str:
        return "maximize" if self.maximize else "minimize"

    @property
    def _other_direction(self) -> str:
        return f"{self.metric} is better the {'higher' if self.maximize else 'lower'}; write {self._better}"

    @model_validator(mode="after")
    def _sensible(self) -> "Objective":
        if self.metric in BUILT_IN and self.direction not in (None, self._better):
            raise ValueError(self._other_direction)
        return self


class Confirm(Model):
    """Fit the best scenario again on this many repeats with new folds and seeds."""

    repeats: Annotated[int, Field(ge=1, le=1000)] = 5


class Search(Model):
    """A search over settings. trials: the target; a second start adds only the missing ones."""

    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    objective: Objective = Objective()
    sampler: Literal["tpe", "gp", "random", "grid"] = "tpe"
    pruner: Literal["median", "none"] | None = None  # None: median; with two objectives none
    trials: Count | None = None  # None: every point of a grid
    timeout: Annotated[PositiveFloat, Field(le=1e8)] | None = None  # seconds, for one start
    seed: Annotated[int, Field(ge=0)] = 0
    enqueue: list[Point] = Field(default=[])
    reuse: bool = Field(default=True, exclude=True)  # earlier trials; in no id: it does not change what is searched
    confirm: Confirm | None = None

    @property
    def prunes(self) -> bool:
        return self.pruner != "none" and self.objective.cost is None

    @property
    def order(self) -> list[str]:
        """The parameters, each after those in its `when`. Raises CycleError."""
        return in_order(self.when)

    @property
    def when(self) -> dict[str, Conditions]:
        """The conditions of every parameter."""
        return {key: dimension.when for key, dimension in self.space.items()}

    def active(self, key: str, point: Mapping[str, Any]) -> bool:
        """Whether the parameter exists at this point; the point must have the parameters before it."""
        return met(self.space[key].when, point)

    def complete(self, given: Mapping[str, Any], base: Mapping[str, Any]) -> Point:
        """The point with the given values and the other active parameters from `base`."""
        point: Point = {}
        for key in self.order:
            if self.active(key, point):
                point[key] = given[key] if key in given else base[key]
        return point

    def points(self) -> list[Point]:
        """Every point of a grid once, in order; points that differ only in inactive parameters are the same."""
        order = self.order
        found: dict[tuple[tuple[str, Any], ...], Point] = {}
        for values in product(*(self.space[key].levels() for key in order)):
            point = self.complete(dict(zip(order, values, strict=True)), {})
            found.setdefault(tuple((key, repr(value)) for key, value in point.items()), point)
        return list(found.values())

    def reachable(self, keys: Iterable[str]) -> list[Point]:
        """Every combination of values of these parameters that occurs in the space; of a range only its low end."""
        wanted = {key for key in keys if key in self.space}
        while more := {other for key in wanted for other in self.space[key].when} - wanted:
            wanted |= more
        order = [key for key in self.order if key in wanted]
        points = []
        for values in product(*(self.space[key].choices or [self.space[key].low] for key in order)):
            point: Point = {}
            for key, value in zip(order, values, strict=True):
                if self.active(key, point):
                    point[key] = value
            points.append(point)
        return points

    def target(self) -> int:
        """The target number of trials."""
        if self.sampler == "grid":
            count = len(self.points())
            return min(count, self.trials or count)
        assert self.trials is not None
        return self.trials
