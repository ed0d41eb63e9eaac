"""A stage of a study: its grid, and how its winner is selected."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from harness.study.conditions import Conditions
from harness.study.fit_costs import CostName
from harness.study.grid import Axes, GridPoint, Level, level_of
from harness.study.types import AnySelectionMetric, GrownModel, Name, higher_is_better

DEFAULT_COST: CostName = "parameters"  # of the whole network
DEFAULT_MARGIN = 0.01  # a point of accuracy


class Select(GrownModel):
    """How a stage selects its winner: the best mean of `metric` over the folds, or the cheapest equivalent to it."""

    ADDED_LATER = ("cost", "margin", "nested")

    metric: AnySelectionMetric = "val/accuracy"
    rule: Literal["best", "cheapest-equivalent"] = "best"
    cost: CostName = DEFAULT_COST  # what the cheapest has least of
    margin: Annotated[float, Field(gt=0)] = DEFAULT_MARGIN  # of the metric: differences within it do not matter
    nested: Annotated[int, Field(ge=2, le=1000)] | None = None  # outer folds that score the selection; None: none

    @model_validator(mode="after")
    def _used(self) -> "Select":
        if self.rule == "best" and self.cost != DEFAULT_COST:
            raise ValueError(f"cost: {self.cost} is for `rule: cheapest-equivalent`; by `best` no cost is looked at")
        return self

    _greater_is_better: bool | None = PrivateAttr(default=None)  # of a metric of the user's own

    def resolve_metrics(self, greater: Mapping[str, bool]) -> None:
        """Set which own metrics are better the higher."""
        self._greater_is_better = greater.get(self.metric)

    @property
    def maximize(self) -> bool:
        known = self._greater_is_better
        return higher_is_better(self.metric) if known is None else known

    @property
    def rule_words(self) -> str:
        """The rule, with cost and margin where they are not the default: `cheapest-equivalent in flops`."""
        cost = "" if self.cost == DEFAULT_COST else f" in {self.cost}"
        return f"{self.rule}{cost}" + ("" if self.margin == DEFAULT_MARGIN else f", margin {self.margin:g}")


Levels = Annotated[list[Any], Field(min_length=1)]


class Stage(GrownModel):
    """One grid of settings; the next stage starts from its winner."""

    ADDED_LATER = ("zip", "when", "exclude")

    name: Name
    grid: dict[str, Levels] = Field(default={})
    zip: dict[str, Levels] = Field(default={})  # factors that vary together, level by level
    when: dict[str, Conditions] = Field(default={})  # a factor, and where it exists, as in a search
    exclude: list[Annotated[dict[str, Any], Field(min_length=1)]] = Field(default=[])  # parts of points
    select: Select | None = None

    @property
    def factors(self) -> dict[str, list[Level]]:
        """The levels of every factor."""
        return {key: list(map(level_of, levels)) for key, levels in (self.grid | self.zip).items()}

    @property
    def axes(self) -> Axes:
        """The factors with their levels, and what of their product is left out."""
        factors = self.factors
        together = {key: factors.pop(key) for key in self.zip}
        return Axes(factors, together, self.when, self.exclude)

    def points(self) -> list[GridPoint]:
        """The points of the grid in order, the last factor fastest."""
        return self.axes.points()

    @property
    def size(self) -> int:
        """The number of scenarios."""
        return len(self.points()) if self.when or self.exclude else self.product

    @property
    def product(self) -> int:
        """The number of combinations, those among them that `when` and `exclude` leave out."""
        together = min((len(levels) for levels in self.zip.values()), default=1)
        return math.prod(len(levels) for levels in self.grid.values()) * together
