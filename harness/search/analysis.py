"""The importances of a search's parameters, and Optuna's interactive figures."""

import warnings
from html import escape
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from harness.search.queue import Queue
from harness.study import Study
from harness.study.search_block import Search

EVALUATOR = "fANOVA"  # Hutter et al. 2014; Optuna's default, PED-ANOVA, can mis-rank
MIN_COMPLETE_TRIALS = 8  # fANOVA fits a random forest to them, which learns nothing from fewer


def importances(study: Study, queue: Queue, seed: int = 0) -> dict[str, float]:
    """The share of the variance of the complete trials' values that each parameter explains, the largest first.

    A parameter that is not active in a trial counts there with its value in `base`, with which the trial was fitted;
    otherwise fANOVA would leave the parameter out. Empty where there are too few trials, or nothing varies.
    """
    search = study.searched
    complete = queue.trials(TrialState.COMPLETE)
    if len(complete) < MIN_COMPLETE_TRIALS or len({trial.values[0] for trial in complete}) < 2:
        return {}
    distributions = {key: d for trial in complete for key, d in trial.distributions.items()}
    if len(distributions) < 2:
        return {}
    filled = optuna.create_study(direction="maximize" if search.objective.maximize else "minimize")
    for trial in complete:
        params = {key: trial.params.get(key, _stand_in(study, search, key)) for key in distributions}
        filled.add_trial(optuna.create_trial(params=params, distributions=distributions, value=trial.values[0]))
    shares = get_param_importances(filled, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {key: float(share) for key, share in shares.items()}


def _stand_in(study: Study, search: Search, key: str) -> object:
    """The value of a parameter in `base`; the first value of the search space where that does not contain it."""
    value, dimension = getattr(study.base, key), search.space[key]
    if dimension.holds(value):
        return value
    return dimension.choices[0] if dimension.choices else dimension.low


def interactive_figures(study: Study, queue: Queue, path: Path, mark: str | None) -> Path:
    """Write one HTML page with Optuna's figures of the search; it needs no network."""
    search = study.searched
    objective, one = search.objective, queue.optuna_study
    named: dict[str, Any] = {"target_name": objective.metric, "target": _first_value}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parameter is missing in some trials, as `when` asks for
        figures = [
            optuna.visualization.plot_optimization_history(one, **named),
            optuna.visualization.plot_parallel_coordinate(one, **named),
            optuna.visualization.plot_slice(one, **named),
        ]
        if objective.cost is None:
            figures.append(optuna.visualization.plot_intermediate_values(one))
        else:
            names: list[str] = [objective.metric, objective.cost]
            figures.append(optuna.visualization.plot_pareto_front(one, target_names=names))
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=index == 0, default_height="520px", div_id=f"figure-{index}")
        for index, figure in enumerate(figures)
    ]
    title = f"<!doctype html><meta charset='utf-8'><title>{study.study}: search</title>"
    path.write_text("\n".join([title, *([f"<p><b>{escape(mark)}</b></p>"] if mark else []), *parts]), encoding="utf-8")
    return path


def _first_value(trial: FrozenTrial) -> float:
    return float(trial.values[0])
