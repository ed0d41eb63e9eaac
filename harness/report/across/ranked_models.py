"""The same models on several data sets: their means with intervals, their ranks, and each against the best."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harness.errors import StudyError
from harness.report.across.sides import StudySide, margin_of
from harness.stats.paired import corrected_t
from harness.stats.practical import Chances, Practical
from harness.stats.proportions import Interval
from harness.stats.ranks import RankTest, rank_test
from harness.stats.signed_rank import signed_rank
from harness.study.contests import least_step, val_to_train
from harness.study.identity import digest, settings_identity
from harness.study.number_words import number_of
from harness.study.scenario_state import ScenarioState
from harness.study.stage import Select

UNIT_SCALE = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "roc_auc", "pr_auc")
INTERVAL = "corrected resampled t over the folds (Nadeau & Bengio 2003)"


@dataclass(frozen=True)
class Cell:
    """A model on a data set: the mean of the metric over the folds, its SD, and its 95 % interval by the folds."""

    model: str
    data_set: str
    mean: float
    sd: float | None
    interval: Interval | None
    scenario: ScenarioState
    mark: str | None = None


@dataclass(frozen=True)
class Against:
    """A model against the one with the best mean rank, over the data sets. practical: the verdict on the model."""

    model: str
    chances: Chances
    practical: Practical


@dataclass(frozen=True)
class RankedModels:
    """Models on data sets. cells: every one that is finished. models: those finished on all data sets, best first."""

    cells: tuple[Cell, ...]
    data_sets: tuple[str, ...]
    select: Select

    @property
    def metric(self) -> str:
        """The metric without `val/`."""
        return self.select.metric.removeprefix("val/")

    @cached_property
    def by_name(self) -> Mapping[tuple[str, str], Cell]:
        """The cells by model and data set."""
        return {(cell.model, cell.data_set): cell for cell in self.cells}

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models that are finished on all data sets, by their mean ranks."""
        names = self._complete
        order = np.argsort(self._unordered.means, kind="stable")
        return tuple(names[index] for index in order)

    @cached_property
    def incomplete(self) -> dict[str, list[str]]:
        """The models that are not ranked -> the data sets on which they are not finished."""
        every = dict.fromkeys(cell.model for cell in self.cells)
        lacking = {m: [d for d in self.data_sets if (m, d) not in self.by_name] for m in every}
        return {model: sets for model, sets in lacking.items() if sets}

    @property
    def _complete(self) -> list[str]:
        return [m for m in dict.fromkeys(cell.model for cell in self.cells) if m not in self.incomplete]

    def _scores(self, models: Sequence[str]) -> pd.DataFrame:
        """The means [data sets, models]."""
        rows = [[self.by_name[model, data_set].mean for model in models] for data_set in self.data_sets]
        return pd.DataFrame(rows, index=list(self.data_sets), columns=list(models))

    @cached_property
    def _unordered(self) -> RankTest:
        return rank_test(self._scores(self._complete).to_numpy(), self.select.maximize)

    @cached_property
    def ranks(self) -> RankTest:
        """The mean ranks of `models`, and their test."""
        return rank_test(self._scores(self.models).to_numpy(), self.select.maximize)

    @cached_property
    def against_best(self) -> tuple[Against, ...]:
        """Every other model against the one with the best mean rank, by their signed ranks on the data sets.

        Practically better or worse only where the test of the ranks tells the two apart, too: the chances are not
        adjusted for the number of models.
        """
        scores, ranks = self._scores(self.models), self.ranks
        sign = 1 if self.select.maximize else -1
        found = []
        for index, model in enumerate(self.models[1:], 1):
            differences = sign * (scores[model] - scores[self.models[0]]).to_numpy()
            of_model = signed_rank(differences, self.select.margin)
            apart = ranks.critical is None or ranks.means[index] - ranks.means[0] > ranks.critical
            found.append(Against(model, of_model, of_model.verdict(apart and ranks.resolved)))
        return tuple(found)

    @property
    def marks(self) -> str | None:
        """Why the numbers are less than they seem, each reason with its data sets where it is not that of all."""
        of: dict[str, list[str]] = {}
        for cell in self.cells:
            for part in (cell.mark or "").split("; "):
                if part and cell.data_set not in of.setdefault(part, []):
                    of[part].append(cell.data_set)
        every = len(self.data_sets)
        return "; ".join(p if len(s) == every else f"{', '.join(s)}: {p}" for p, s in of.items()) or None


def listed(names: Sequence[str]) -> str:
    """The names as a reader lists them: `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def ranked_models(sides: Sequence[StudySide]) -> RankedModels:
    """Rank the scenarios that the studies have in common, each study a data set, by the mean over its folds.

    A scenario is the same in two studies where all settings that decide numbers are. One that leaks takes no part.
    Raises StudyError where fewer than two are in every study.
    """
    cells = ranked_cells(sides)
    select = sides[0].select.model_copy(update={"margin": margin_of(sides)})
    found = RankedModels(tuple(cells), tuple(side.label for side in sides), select)
    if len(found.models) < 2:
        count = number_of(len(found.models), "finished scenario") if found.models else "no finished scenarios"
        raise StudyError(
            f"{listed(found.data_sets)} have {count} with the same settings"
            " in common; two are needed, so that they can be ranked"
        )
    return found


def ranked_cells(sides: Sequence[StudySide]) -> list[Cell]:
    """Every finished scenario of every study, one with the same settings under the same name."""
    names: dict[str, str] = {}
    return [cell for side in sides for cell in _cells(side, names)]


def _cells(side: StudySide, names: dict[str, str]) -> Iterator[Cell]:
    """The finished scenarios of a study. names: of the scenarios so far, by their settings; new ones are added."""
    metric = side.select.metric
    for scenario in side.state.scenarios:
        if not scenario.finished or scenario.settings.leaks or f"{metric}_mean" not in scenario.summary:
            continue
        key = digest(settings_identity(scenario.settings, side.workspace.inputs.digests))
        if key not in names:
            taken = scenario.name in names.values()
            names[key] = f"{scenario.name} ({key[:6]})" if taken else scenario.name
        mean, sd = scenario.summary[f"{metric}_mean"], scenario.summary.get(f"{metric}_std")
        mark = side.marks.scenario(scenario.settings)
        yield Cell(names[key], side.label, mean, sd, mean_interval(scenario, metric), scenario, mark)


def mean_interval(scenario: ScenarioState, metric: str) -> Interval | None:
    """The 95 % interval of a mean over the folds, whose training sets overlap; None where the folds do not show it.

    Not beyond 0 and 1 where the metric is not.
    """
    values = [scenario.metrics(job.id).get(metric) for job in scenario.jobs]
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len(known) < 2:
        return None  # the metric of the worst group is that of all folds
    found = corrected_t(known, val_to_train(scenario), least_step(scenario, metric))
    if not np.isfinite(found.low):
        return None
    if metric.removeprefix("val/") in UNIT_SCALE:
        return max(found.low, 0.0), min(found.high, 1.0)
    return found.low, found.high
