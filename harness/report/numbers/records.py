"""The contents of `statistics.json`: every number of a report's tables, typed. Its JSON schema lies next to it."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.stats import ALPHA
from harness.stats.practical import Practical
from harness.stats.proportions import Interval
from harness.study.unit import Combine

SCHEMA_VERSION = 5  # raise it when a field changes its meaning, or other tests are made
# 3: fitted models are compared on the test set alone, over patients; recipes have a practical verdict
# 4: low and high are over patients, and bootstrap_low and bootstrap_high of numbers that have no such interval alone
# 5: areas under the ROC curve out of fold are those within folds, averaged

Verdict = Literal["first is better", "second is better", "cannot resolve"]
Compared = Literal["recipes", "fitted models"]


def verdict_of(difference: float, p: float) -> Verdict:
    """The verdict on a difference (first minus second, where more is better) with this p."""
    if p >= ALPHA:
        return "cannot resolve"
    return "first is better" if difference > 0 else "second is better"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Estimate(_Entry):
    """One measured or recomputed value."""

    subject: Annotated[str, Field(description="the scenario, or the published model")]
    on: Annotated[str, Field(description="which images: `test set`, `out of fold`, `folds`")]
    metric: str
    of_class: Annotated[str | None, Field(description="the class it is about; null where it is about all")] = None
    value: float
    at: Annotated[
        float | None,
        Field(description="the decision threshold, a bin's mean confidence, or a share that was asked for"),
    ] = None
    hits: Annotated[int | None, Field(description="k of k/n, where the value is a rate of one repeat")] = None
    n: Annotated[int | None, Field(description="n of k/n: the images, each once, however many repeats")] = None
    repeats: Annotated[int, Field(description="the number of repeats of the folds that value is the mean of")] = 1
    low: Annotated[
        float | None,
        Field(description="lower end of the 95 % interval by formula: over whole patients where they are known"),
    ] = None
    high: float | None = None
    method: Annotated[str | None, Field(description="how low and high were found")] = None
    bootstrap_low: Annotated[
        float | None,
        Field(
            description="95 % percentile interval: whole patients resampled, or images where patients are unknown; of "
            "numbers that have none by formula"
        ),
    ] = None
    bootstrap_high: float | None = None
    ensemble: Annotated[
        int | None, Field(description="the number of fold models whose mean was scored; null for a single model")
    ] = None
    sd: Annotated[float | None, Field(description="standard deviation over the folds")] = None
    folds: Annotated[list[float] | None, Field(description="the value in each fold, repeat after repeat")] = None
    run_id: Annotated[str | None, Field(description="the MLflow run that it comes from")] = None
    mark: Annotated[str | None, Field(description="why this number is less than it seems")] = None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval, by formula or by resampling; None where the number has none."""
        if self.low is not None and self.high is not None:
            return self.low, self.high
        if self.bootstrap_low is not None and self.bootstrap_high is not None:
            return self.bootstrap_low, self.bootstrap_high
        return None


class Comparison(_Entry):
    """One test of a difference, first minus second."""

    first: str
    second: str
    on: str
    metric: str
    test: Annotated[str, Field(description="the test that gave p")]
    compares: Annotated[
        Compared,
        Field(
            description="`recipes`: training with these settings, again in each fold; `fitted models`: the models as "
            "they were fitted, on these images, which says nothing about another fit by the same recipe"
        ),
    ]
    difference: float
    low: Annotated[float | None, Field(description="95 % interval of the difference")] = None
    high: float | None = None
    fits_low: Annotated[
        float | None,
        Field(
            description="95 % interval of the difference of these fits alone when patients are resampled; other fits by"
            " the same recipes may differ by more, so it gives no verdict on recipes, and may be without 0 where the"
            " verdict is `cannot resolve`"
        ),
    ] = None
    fits_high: float | None = None
    statistic: Annotated[float | None, Field(description="z, where the test has one")] = None
    p: float | None = None
    p_holm: Annotated[float | None, Field(description="p adjusted for `comparisons` by Holm")] = None
    comparisons: Annotated[int, Field(description="the number of tests that are adjusted together")] = 1
    only_first: Annotated[int | None, Field(description="images right by the first alone")] = None
    only_second: int | None = None
    only_first_most: Annotated[int | None, Field(description="the same under the greatest discordance allowed")] = None
    only_second_most: int | None = None
    p_low: Annotated[float | None, Field(description="least p over all overlaps that class totals allow")] = None
    p_high: float | None = None
    verdict: Annotated[
        Verdict | None, Field(description="null for `fitted models` of a study: no verdict about scenarios follows")
    ] = None
    margin: Annotated[
        float | None, Field(description="differences of recipes within it do not matter: the region of equivalence")
    ] = None
    better: Annotated[
        float | None, Field(description="the probability that the first is better by more than the margin")
    ] = None
    equivalent: Annotated[float | None, Field(description="the probability that the two differ by less than it")] = None
    worse: float | None = None
    practical: Annotated[
        Practical | None, Field(description="the practical verdict on the first, by the Bayesian correlated t-test")
    ] = None
    mark: Annotated[str | None, Field(description="why this number is less than it seems")] = None


class Finding(_Entry):
    """A conclusion that a reader must know next to the numbers."""

    kind: str
    text: str
    where: str | None = None
    printed: float | None = None
    recomputed: float | None = None
    mark: Annotated[str | None, Field(description="why this number is less than it seems")] = None


class Statistics(_Entry):
    """The root of statistics.json."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["study", "published"]
    name: str
    study_id: str | None = None
    manifest_digest: str | None = None
    folds_digest: Annotated[str | None, Field(description="the one fold assignment behind every number")] = None
    marks: Annotated[list[str], Field(description="why every number here is less than it seems")] = []
    estimates: list[Estimate] = []
    comparisons: list[Comparison] = []
    findings: list[Finding] = []


class PatientStatistics(Statistics):
    """The root of statistics.json where every number is of patients: of the mean of their images, and so on."""

    unit: Literal["patient"] = "patient"
    combine: Annotated[Combine, Field(description="how the probabilities of a patient's images become one")]
    left_out: Annotated[int, Field(description="patients without a number, as they have images of several classes")]


def read_statistics(folder: Path) -> Statistics:
    """Read the `statistics.json` of a report."""
    content = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
    return (PatientStatistics if "unit" in content else Statistics).model_validate(content)


def write_statistics(statistics: Statistics, folder: Path) -> None:
    """Write `statistics.json` and the schema that documents it, `statistics.schema.json`."""
    (folder / "statistics.json").write_text(statistics.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / "statistics.schema.json").write_text(
        json.dumps(type(statistics).model_json_schema(), indent=1) + "\n", encoding="utf-8"
    )
