"""The types that the blocks of the study file share: the strict model, names and metrics."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
)
from pydantic_core import PydanticKnownError

Metric = Literal[
    "val/loss", "val/accuracy", "val/precision", "val/recall", "val/f1", "val/specificity",
    "val/balanced_accuracy", "val/mcc", "val/roc_auc", "val/pr_auc", "val/brier", "val/ece",
]  # fmt: skip
SelectionMetric = Literal[
    Metric,
    "worst-group val/loss", "worst-group val/accuracy", "worst-group val/precision", "worst-group val/recall",
    "worst-group val/f1", "worst-group val/specificity", "worst-group val/balanced_accuracy", "worst-group val/mcc",
    "worst-group val/roc_auc", "worst-group val/pr_auc", "worst-group val/brier", "worst-group val/ece",
]  # fmt: skip
WORST_GROUP = "worst-group "  # before a metric: of the group of `subgroups` whose mean over the folds is worst
BUILT_IN = frozenset(get_args(Metric))
LOWER_IS_BETTER = ("loss", "brier", "ece")
SettingValues = Mapping[str, Any]  # of the settings, by name
Conflict = tuple[tuple[str, str], str]  # two fields, the one to change first, and why they cannot be combined
ConflictCheck = tuple[Callable[[SettingValues], Conflict | None], tuple[str, ...]]  # with the fields that it reads


def _built_in_or_own(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Check a metric: one of the harness, or one that the study file names under `metrics`."""
    own = (info.context or {}).get(OWN_METRICS, ())
    if value in own:
        return value
    try:
        return check(value)
    except ValidationError as error:
        expected = error.errors()[0].get("ctx", {}).get("expected")
        if not own or expected is None:
            raise
        every = expected.replace(" or ", ", ") + "".join(f", {name!r}" for name in own)
        raise PydanticKnownError("literal_error", {"expected": every}) from None


OWN_METRICS = "metrics"  # in the context of a validation: the own metrics of the study, such as `val/Kappa`
AnyMetric = Annotated[Metric, WrapValidator(_built_in_or_own)]
AnySelectionMetric = Annotated[SelectionMetric, WrapValidator(_built_in_or_own)]


def own_names(given: Any) -> list[str]:
    """The names, such as `val/Kappa`, of own metrics as a study file gives them: `[my_metrics:Kappa]`."""
    every = given if isinstance(given, list) else []
    return [f"val/{name.partition(':')[2]}" for name in every if isinstance(name, str) and ":" in name]


def higher_is_better(metric: str) -> bool:
    """Whether a higher value of this metric is better."""
    return not metric.endswith(LOWER_IS_BETTER)


def is_worst_group(metric: str) -> bool:
    """Whether a metric is that of the worst group."""
    return metric.startswith(WORST_GROUP)


def plain_metric(metric: str) -> str:
    """The metric of all images that a metric of the worst group is computed like: `val/roc_auc`."""
    return metric.removeprefix(WORST_GROUP)


def checked_name(value: str) -> str:
    """Return the value. Raises ValueError where it is not a valid name of a study or stage."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value) or not value.strip("."):
        raise ValueError("a name has 1 to 64 letters, digits, '.', '_' or '-', and not only dots")
    return value


Name = Annotated[str, AfterValidator(checked_name)]
Switch = Literal["auto", "on", "off"]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class Model(BaseModel):
    """A block of the study file: strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class GrownModel(Model):
    """A block to which fields were added: at their defaults they are in no id and no record, as before."""

    ADDED_LATER: ClassVar[tuple[str, ...]]

    @model_serializer(mode="wrap")
    def _content(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields; those that were added later only where they are not at their defaults."""
        fields, content = type(self).model_fields, handler(self)
        unused = {
            name
            for name in self.ADDED_LATER
            if getattr(self, name) == fields[name].get_default(call_default_factory=True)
        }
        return {name: value for name, value in content.items() if name not in unused}
