"""The numbers of each site where folds leave one out at a time, and the mean over them where there are three or more.

That is internal-external cross-validation (Steyerberg and Harrell 2016, Journal of Clinical Epidemiology 69:245).
"""

from harness.data.folds import fold_levels
from harness.data.inputs import Workspace
from harness.report.numbers.comparisons import OUT_OF_FOLD, RunOf
from harness.report.numbers.predicted import prediction_estimates
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Estimate
from harness.report.numbers.set_numbers import SITES, mean_estimates
from harness.report.numbers.study_subgroups import shown_out_of_fold
from harness.study.state import StudyState


def left_out_sites(workspace: Workspace) -> dict[int, str]:
    """The value of the metadata that each fold leaves out; empty for folds that are drawn, or a column of folds."""
    spec = workspace.study.folds
    if spec.is_drawn or spec.by == "column":
        return {}
    return {number: str(level) for number, level in enumerate(fold_levels(workspace.inputs.dataset, spec))}


def on_site(name: str) -> str:
    """The `on` of estimates on a site that was left out."""
    return f"{OUT_OF_FOLD}, {name}"


def site_estimates(workspace: Workspace, state: StudyState, predictions: Predictions, run_of: RunOf) -> list[Estimate]:
    """The estimates on each left-out site, of the winners or of all scenarios, and their means over the sites."""
    sites, found = left_out_sites(workspace), list[Estimate]()
    for scenario in shown_out_of_fold(state) if sites else ():
        frame, run_id = predictions.out_of_fold(scenario), run_of("scenario", scenario.id)
        of_sites: list[Estimate] = []
        for number, name in sites.items():
            part = frame[frame["fold"] == number].reset_index(drop=True)
            of_sites += prediction_estimates(
                part, scenario.name, on_site(name), predictions.positive, run_id, predictions.own
            )
        ons = [on_site(name) for name in sites.values()]
        found += of_sites + mean_estimates(of_sites, scenario.name, ons, predictions.positive, SITES)
    return found
