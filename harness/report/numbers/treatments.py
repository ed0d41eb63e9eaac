"""What treating classes of unequal size did to each scenario, beside moving its decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean

import numpy as np
import pandas as pd

from harness.report.numbers.estimates import Matrix
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Estimate
from harness.report.numbers.threshold_numbers import matrix_at, operating_point
from harness.stats.arrays import arrays
from harness.stats.calibration import SLOPE, calibration_slope
from harness.stats.metrics import classification_metrics, confusion_matrix, expected_calibration_error, matrix_scores
from harness.stats.priors import Shares, learnt_shares, log_odds_shift, shifted
from harness.study.plan import Job
from harness.study.scenario_state import ScenarioState
from harness.study.settings import TREATMENTS, Settings

TREATED = "classes of unequal size"  # the `on` of these estimates and comparisons
BALANCED, MOVED = "balanced accuracy", "balanced accuracy, decision moved"
AREA, ECE = "ROC AUC", "ECE"
CORRECTED = ", prior corrected"
CORRECTION = "prior_correction"  # treats nothing by itself


def is_treated(settings: Settings) -> bool:
    """Whether a scenario treats classes of unequal size, without a leak and so that the class shares are known."""
    known = not settings.leaks and ":" not in settings.loss
    default = Settings.model_fields
    return known and any(getattr(settings, name) != default[name].default for name in TREATMENTS if name != CORRECTION)


def untreated(settings: Settings) -> str:
    """The same settings without a treatment, as a text to compare."""
    plain = {name: Settings.model_fields[name].default for name in (*TREATMENTS, "oversampling_ratio")}
    return settings.model_copy(update=plain).model_dump_json()


def treated_scenarios(states: Sequence[ScenarioState], predictions: Predictions) -> "list[Treated]":
    """The finished scenarios that treat classes of unequal size, and those that they are to be compared with."""
    finished = [state for state in states if state.finished]
    wanted = {untreated(state.settings) for state in finished if is_treated(state.settings)}
    return [
        Treated(state, predictions)
        for state in finished
        if is_treated(state.settings) or state.settings.model_dump_json() in wanted
    ]


@dataclass(frozen=True)
class Treated:
    """A finished scenario, treated or not, with its predictions fold by fold, in the order of its jobs."""

    state: ScenarioState
    predictions: Predictions

    @cached_property
    def learnt(self) -> list[pd.DataFrame]:
        """The predictions of each fold for the class shares that were learnt."""
        return [self._of(job, "off") for job in self.state.jobs]

    @cached_property
    def corrected(self) -> list[pd.DataFrame]:
        """The same for the class shares of the training images."""
        return [self._of(job, "on") for job in self.state.jobs]

    @property
    def scored(self) -> list[pd.DataFrame]:
        """The same as they are stored."""
        return self.corrected if self.state.settings.prior_correction == "on" else self.learnt

    def _of(self, job: Job, correction: str) -> pd.DataFrame:
        frame = self.predictions.ledger.predictions(job.id)
        if correction != self.state.settings.prior_correction:
            true, learnt = self._shares(job)
            frame = _for_shares(frame, true, learnt) if correction == "on" else _for_shares(frame, learnt, true)
        return self.predictions.unit.of(frame)

    def _shares(self, job: Job) -> tuple[Shares, Shares]:
        """The shares [classes] of the training images, and those that the fit learnt."""
        counts = self.state.records[job.id].class_counts
        before, after = (np.array([*counts[key].values()], dtype=np.float64) for key in ("before", "after"))
        return before / before.sum(), learnt_shares(self.state.settings.loss, after)

    @cached_property
    def positive(self) -> str | None:
        """The class that a threshold is about; None where there are not two classes."""
        classes, _, _ = arrays(self.scored[0])
        return self.predictions.positive if len(classes) == 2 else None

    @cached_property
    def values(self) -> dict[str, list[float]]:
        """In each fold the balanced accuracy, the same after moving the decision, and the area under the ROC curve."""
        found = [self._metrics(frame) for frame in self.scored]
        return {
            BALANCED: [metrics["balanced_accuracy"] for metrics in found],
            MOVED: [matrix_scores(self._moved(number))["balanced_accuracy"] for number in range(len(found))],
            AREA: [metrics["roc_auc"] for metrics in found],
        }

    def _metrics(self, frame: pd.DataFrame) -> dict[str, float]:
        classes, probabilities, labels = arrays(frame)
        positive = self.predictions.positive
        return classification_metrics(probabilities, labels, classes.index(positive) if positive else None)

    def _moved(self, number: int) -> Matrix:
        """The confusion matrix of a fold after moving the decision.

        Of two classes: at the threshold that is best on the other folds of its repeat. Of more: by the probability of
        each class over the share of it that was learnt (Menon et al. 2021, equation 9), for which nothing is chosen.
        """
        frame, job = self.scored[number], self.state.jobs[number]
        if self.positive is None:
            true, learnt = self._shares(job)
            shares = true if self.state.settings.prior_correction == "on" else learnt
            return confusion_matrix(*arrays(_for_shares(frame, np.ones_like(shares), shares))[1:])
        each = zip(self.state.jobs, self.scored, strict=True)
        others = [scored for other, scored in each if other.repeat == job.repeat and other.fold != job.fold]
        return matrix_at(frame, operating_point(pd.concat(others), self.positive), self.positive)

    def estimates(self, run_id: str | None) -> list[Estimate]:
        """Its row of the table."""
        found = {name: mean(folds) for name, folds in self.values.items()}
        found |= _calibration(self.learnt, self.positive)
        found |= {f"{name}{CORRECTED}": value for name, value in _calibration(self.corrected, self.positive).items()}
        rows, repeats = sum(map(len, self.scored)), len({job.repeat for job in self.state.jobs})
        return [
            Estimate(
                subject=self.state.name, on=TREATED, metric=name, value=value, folds=self.values.get(name),
                n=rows // repeats, repeats=repeats, run_id=run_id,
            )
            for name, value in found.items()
        ]  # fmt: skip


def _for_shares(frame: pd.DataFrame, wanted: Shares, known: Shares) -> pd.DataFrame:
    """The predictions for these class shares [classes], of predictions for those."""
    classes, probabilities, _ = arrays(frame)
    moved = shifted(probabilities, log_odds_shift(wanted, known))
    return frame.assign(**{f"prob_{name}": moved[:, index] for index, name in enumerate(classes)})


def _calibration(frames: Sequence[pd.DataFrame], positive: str | None) -> dict[str, float]:
    """Slope and calibration error of the predictions of all folds and repeats together."""
    classes, probabilities, labels = arrays(pd.concat(frames))
    found = {ECE: expected_calibration_error(probabilities, labels)}
    if positive is not None:
        index = classes.index(positive)
        slope = calibration_slope(probabilities[:, index], labels == index)
        found |= {} if slope is None else {SLOPE: slope}
    return found
