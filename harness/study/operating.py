"""The blocks `operating` and `prevalences` of the study file: the rates that a model is to have in use."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.study.types import Model

Proportion = Annotated[float, Field(gt=0, lt=1)]
OperatingRate = Literal["sensitivity", "specificity"]


class Operating(Model):
    """The least sensitivity, or specificity, that the threshold has out of fold: one of the two."""

    sensitivity: Proportion | None = None
    specificity: Proportion | None = None

    @model_validator(mode="after")
    def _one(self) -> "Operating":
        if (self.sensitivity is None) == (self.specificity is None):
            raise ValueError("declare one of the two rates, such as {sensitivity: 0.95}; the other follows from it")
        return self

    @property
    def declared(self) -> tuple[OperatingRate, float]:
        """The rate that is declared, and how much it is at least."""
        if self.sensitivity is not None:
            return "sensitivity", self.sensitivity
        assert self.specificity is not None
        return "specificity", self.specificity


def _once(prevalences: list[float]) -> list[float]:
    """Return the prevalences. Raises ValueError where one stands twice."""
    for value in prevalences:
        if prevalences.count(value) > 1:
            raise ValueError(f"{value:g} stands twice; give each prevalence once")
    return prevalences


Prevalences = Annotated[list[Proportion], AfterValidator(_once)]
