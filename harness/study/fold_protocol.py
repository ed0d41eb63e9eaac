"""The block `folds:` of a study file: how training images are divided for cross-validation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.study.types import GrownModel


class Folds(GrownModel):
    """The cross-validation protocol."""

    ADDED_LATER = ("duplicates",)

    k: Annotated[int, Field(ge=2, le=1000)] = 3
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    grouped: bool = True
    seed: Annotated[int, Field(ge=0)] = 0
    by: str = "random"  # column: data.columns.fold; a metadata column: one of its values is left out at a time
    # nearly identical images, aligned: slightly turned or cropped ones too; identical ones go by `grouped`
    duplicates: Literal["together", "aligned", "apart"] = "apart"

    @property
    def is_drawn(self) -> bool:
        """Whether the folds are drawn by chance, `k` of them, and not read from a column."""
        return self.by == "random"

    @model_validator(mode="after")
    def _grouped(self) -> "Folds":
        if self.duplicates != "apart" and not (self.grouped and self.is_drawn):
            why = f"folds by {self.by} are read and not drawn" if self.grouped else "grouped: false groups nothing"
            raise ValueError(f"duplicates: {self.duplicates}, and {why}; write duplicates: apart, which is the default")
        return self
