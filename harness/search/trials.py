"""The ended trials of a search as plain values, for MLflow, the report and the terminal."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from harness.data.inputs import Workspace
from harness.report.numbers.marks import Marks
from harness.report.tables.export import rounded
from harness.search.earlier import origin
from harness.search.queue import Queue, slot_of
from harness.stats.pareto import pareto_indices
from harness.store.reports import ID_DIGITS
from harness.study import Study
from harness.study.mixed import fit_marks
from harness.study.plan import Job, Scenario, fold_jobs, point_scenario
from harness.study.rehearsal import with_trials
from harness.study.scenario_state import ScenarioState
from harness.study.search_block import Point

TrialEnd = Literal["complete", "pruned", "failed"]
_STATES: dict[TrialState, TrialEnd] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


@dataclass(frozen=True)
class TrialResult:
    """An ended trial. Only a complete one has a `value` and a `cost`: no other can win."""

    slot: int
    number: int
    state: TrialEnd
    point: Point
    scenario: Scenario
    jobs: tuple[Job, ...]
    folds: int  # how many were fitted, from the first
    done: tuple[Job, ...]  # those of the fitted jobs that are in this store: in a shared search others are elsewhere
    means: tuple[float, ...]  # of the metric over the first fold, the first two, ...
    value: float | None
    cost: float | None
    error: str | None
    reused: str | None  # the id of the earlier search whose trial it was


def trial_result(workspace: Workspace, trial: FrozenTrial) -> TrialResult:
    """The result of an ended trial."""
    study, digests, ledger = workspace.study, workspace.inputs.digests, workspace.ledger
    scenario = point_scenario(study, trial.params, digests)
    jobs = fold_jobs(study, scenario, digests)
    values = trial.values if trial.state == TrialState.COMPLETE else None
    reported = len(trial.intermediate_values) if trial.intermediate_values or not values else len(jobs)
    return TrialResult(
        slot=slot_of(trial),
        number=trial.number,
        state=_STATES.get(trial.state, "failed"),
        point=dict(trial.params),
        scenario=scenario,
        jobs=tuple(jobs),
        folds=reported,
        done=tuple(job for job in jobs[:reported] if ledger.done(job.id)),
        means=tuple(trial.intermediate_values[step] for step in sorted(trial.intermediate_values)),
        value=values[0] if values else None,
        cost=values[1] if values and len(values) > 1 else None,
        error=trial.user_attrs.get("error"),
        reused=origin(trial),
    )


def trial_results(workspace: Workspace, queue: Queue) -> list[TrialResult]:
    """The results of all trials that have ended, by slot."""
    return [trial_result(workspace, trial) for _, trial in sorted(queue.ended().items())]


def reused_words(results: list[TrialResult], target: int) -> str | None:
    """How many trials are those of earlier searches; None where there are none."""
    ids = [result.reused[:ID_DIGITS] for result in results if result.reused is not None]
    if not ids:
        return None
    names, several = dict.fromkeys(ids), len(set(ids)) > 1
    source = "earlier searches of this study (ids" if several else "an earlier search of this study (id"
    return f"{len(ids)} of {max(target, len(results))} trials reused from {source} {', '.join(names)})"


def trial_states(workspace: Workspace, results: list[TrialResult]) -> list[ScenarioState]:
    """The fits of these trials that are in this store, as a scenario for each trial."""
    return [workspace.reader.scenario(result.scenario, result.done) for result in results]


def trial_marks(workspace: Workspace, results: list[TrialResult]) -> Marks:
    """The marks of these trials."""
    fits, study = tuple(fit_marks(trial_states(workspace, results))), workspace.study
    if len(results) > study.searched.target():  # an earlier command had a higher target
        study = with_trials(study, len(results))
    return Marks(study, fits, workspace.inputs.dataset.synthetic)


def trials_frame(marks: Marks, results: list[TrialResult]) -> pd.DataFrame:
    """A row for each trial: the complete ones from the best to the worst, then the pruned and failed ones."""
    search = marks.study.searched
    objective = search.objective
    sign = -1 if objective.maximize else 1
    ranked = sorted(results, key=lambda r: (r.value is None, sign * (r.value or 0.0), r.cost or 0.0, r.slot))
    rows: list[dict[str, object]] = [
        {
            "trial": result.slot,
            **{key: result.point.get(key) for key in search.space},
            objective.metric: np.nan if result.value is None else result.value,
            **({objective.cost: np.nan if result.cost is None else result.cost} if objective.cost else {}),
            "folds": f"{result.folds}/{len(result.jobs)}",
            "state": result.state,
            "reused from": (result.reused or "")[:ID_DIGITS],
            "mark": marks.scenario(result.scenario.settings) or "",
        }
        for result in ranked
    ]
    columns = ["trial", *search.space, objective.metric, *([objective.cost] if objective.cost else [])]
    board = pd.DataFrame(rows, columns=[*columns, "folds", "state", "reused from", "mark"])
    return board.drop(columns=[name for name in ("reused from", "mark") if not board[name].any()])


def shown(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """The table of trials for readers: the metric with four decimals, as the best trials differ in the last ones."""
    metric = study.searched.objective.metric
    words = ["-" if pd.isna(value) else f"{value:.4f}" for value in frame[metric]]
    drawn = {key: _distinct(frame[key]) for key in study.searched.space if frame[key].dtype == float}
    return rounded(frame.assign(**{metric: words}, **drawn))


def _distinct(values: pd.Series) -> list[str]:
    """The numbers with as few digits (at least four) as it takes to tell different ones apart."""
    for digits in range(4, 18):
        words = ["-" if pd.isna(value) else f"{value:.{digits}g}" for value in values]
        if len(set(words)) == values.nunique(dropna=False):
            break
    return words


def best_trial(study: Study, results: list[TrialResult]) -> TrialResult | None:
    """The complete trial with the best value; of equal ones the cheapest, then the first."""
    sign = 1 if study.searched.objective.maximize else -1
    complete = [result for result in results if result.value is not None]
    return max(complete, key=lambda r: (sign * (r.value or 0.0), -(r.cost or 0.0)), default=None)


def pareto_front(study: Study, results: list[TrialResult]) -> list[TrialResult]:
    """The complete trials that no other trial beats in both value and cost, the cheapest first."""
    sign = 1 if study.searched.objective.maximize else -1
    complete = [(r.cost, sign * r.value, r) for r in results if r.value is not None and r.cost is not None]
    front = pareto_indices([cost for cost, _, _ in complete], [value for _, value, _ in complete])
    return [complete[index][2] for index in front]
