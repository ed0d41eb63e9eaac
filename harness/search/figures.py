"""The figures of a search's report, and what its text is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from harness.data.inputs import Workspace
from harness.errors import attempt
from harness.report.figures import search_figures as draw
from harness.report.numbers.marks import Marks, together
from harness.search.analysis import EVALUATOR, importances, interactive_figures
from harness.search.confirm import Confirmed
from harness.search.queue import Queue
from harness.search.trials import TrialResult, pareto_front, trial_marks
from harness.study import Study
from harness.study.search_block import Search


@dataclass(frozen=True)
class SearchDraft:
    """A report of a search that is being written into `folder`."""

    workspace: Workspace
    queue: Queue
    results: list[TrialResult]
    confirmation: Confirmed | None
    folder: Path

    @property
    def study(self) -> Study:
        """The study with its search."""
        return self.workspace.study

    @cached_property
    def marks(self) -> Marks:
        """The marks of the trials."""
        return trial_marks(self.workspace, self.results)

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """The importance of each parameter; empty where it cannot be computed: `importances.txt` says why."""
        found: dict[str, float] = {}
        reason = self.folder / "importances.txt"
        attempt("no importances", reason, lambda: found.update(importances(self.study, self.queue)))
        return found


def draw_figures(draft: SearchDraft) -> list[str]:
    """Draw the figures into the folder of the draft, and return their names."""
    study, search, results, folder = draft.study, draft.study.searched, draft.results, draft.folder
    mark = together(draft.marks.scenario(result.scenario.settings) for result in results)
    objective, table, scales = search.objective, _table(search, results), _scales(search)
    metric = objective.metric
    draw.history_figure(table, metric, objective.maximize, folder / "history.png", mark)
    draw.parallel_figure(table, scales, metric, folder / "parallel.png", mark)
    draw.slice_figure(table, scales, metric, folder / "slice.png", mark)
    names = ["history", "parallel", "slice"]
    if draft.shares:
        draw.importances_figure(draft.shares, EVALUATOR, folder / "importances.png", mark)
        names.insert(0, "importances")
    if objective.cost is None:
        curves = [(result.state, result.means) for result in results if result.means]
        draw.curves_figure(curves, metric, folder / "intermediate.png", mark)
        names.append("intermediate")
    else:
        front = [result.slot for result in pareto_front(study, results)]
        draw.pareto_figure(table, front, metric, objective.cost, folder / "pareto.png", mark)
        names.insert(0, "pareto")
    page = folder / "search.html"
    attempt("no search.html", page.with_suffix(".txt"), lambda: interactive_figures(study, draft.queue, page, mark))
    return names


def _table(search: Search, results: list[TrialResult]) -> pd.DataFrame:
    """The table of trials that figures/search_figures.py draws."""
    rows = [
        {
            "trial": r.slot,
            "state": r.state,
            "value": np.nan if r.value is None else r.value,
            "cost": np.nan if r.cost is None else r.cost,
            "partial": r.means[-1] if r.means else np.nan,
            **{key: r.point.get(key) for key in search.space},
        }
        for r in results
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(search.space, object))


def _scales(search: Search) -> dict[str, bool]:
    return {key: dimension.log for key, dimension in search.space.items()}
