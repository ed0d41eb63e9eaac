"""The report of a search: the best trial, its confirmed score, and the parameters that matter."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from harness.data.inputs import Workspace
from harness.errors import attempt, failure
from harness.report.figures import search as draw
from harness.report.figures.drawing import with_holes
from harness.report.numbers.marks import Marks, marked, together
from harness.report.page import write_page
from harness.report.sections.conduct import data_words, origin_lines, run_words
from harness.report.sections.head import head_lines
from harness.report.sections.scenario_settings import settings_lines
from harness.report.sections.study_file import study_file_lines
from harness.report.tables.export import escaped, marked_markdown, sentence
from harness.search.analysis import EVALUATOR, MIN_COMPLETE_TRIALS, importances, interactive_figures
from harness.search.confirm import Confirmed
from harness.search.queue import Queue
from harness.search.trials import (
    TrialResult,
    best_trial,
    pareto_front,
    reused_words,
    shown,
    trial_marks,
    trial_states,
    trials_frame,
)
from harness.store.files import new_folder
from harness.store.reports import replace_report, report_place
from harness.store.seals import seal
from harness.study import Study
from harness.study.history import read_commands
from harness.study.identity import search_id
from harness.study.search_block import Search

MAX_TRIALS_IN_REPORT = 15


def report_folder(workspace: Workspace, empty: bool = False) -> Path:
    """The folder of a search's report. empty: none of its trials is complete.

    An empty report, or that of a variant by `--set`, never takes the place of another search's report.
    """
    study, identity = workspace.study, search_id(workspace.study, workspace.inputs.digests)
    return report_place(workspace.store.reports / f"{study.study}-search", identity, empty or study.is_variant)


def write_search_report(
    workspace: Workspace,
    queue: Queue,
    results: list[TrialResult],
    best_file: Path | None,
    confirmation: Confirmed | None,
) -> Path:
    """Write the report of a search, and return the path of its `report.md`. Its folder is replaced as a whole."""
    study, inputs, store = workspace.study, workspace.inputs, workspace.store
    target, shared = report_folder(workspace, best_trial(study, results) is None), inputs.separation
    with new_folder(store.reports) as new:
        folder = new / "report"
        folder.mkdir()
        shares: dict[str, float] = {}
        attempt("no importances", folder / "importances.txt", lambda: shares.update(importances(study, queue)))
        marks = trial_marks(workspace, results)
        if best_file is not None:
            shutil.copy(best_file, folder / "best.yaml")
        board = trials_frame(marks, results)
        board.to_csv(folder / "trials.csv", index=False)
        figures = _figures(marks, queue, results, shares, folder) if best_trial(study, results) else []
        text = [
            f"# {study.study}: search",
            "",
            *head_lines(marks, inputs.dataset, any(r.scenario.settings.select_epoch == "best" for r in results)),
            *([] if shared.sound else [f"**{sentence(shared.of_folds)}**", ""]),
            *_headline(study, results, confirmation),
            *_effort(study, results),
            *_reused(study, results),
            *_importances(shares, failure(folder / "importances.txt"), marks.every),
            "## Trials",
            "",
            *marked_markdown(shown(study, board.head(MAX_TRIALS_IN_REPORT))),
            f"The first {min(MAX_TRIALS_IN_REPORT, len(board))} of {len(board)}; all are in `trials.csv`.",
            "",
            *(line for name in figures for line in (f"![{name}]({name}.png)", "")),
            *settings_lines(marks, inputs, trial_states(workspace, results), folder, {}),
            *_foot(workspace, queue, results, marks, folder),
        ]
        (folder / "report.md").write_text(
            "\n".join([*with_holes(text, folder), *study_file_lines(study)]) + "\n", encoding="utf-8"
        )
        identity = search_id(study, inputs.digests)
        (folder / "search.json").write_text(json.dumps({"search_id": identity}) + "\n", encoding="utf-8")
        write_page(folder)
        seal(folder)
        replace_report(folder, target, identity)
    return target / "report.md"


def _headline(study: Study, results: list[TrialResult], confirmation: Confirmed | None) -> Iterable[str]:
    best = best_trial(study, results)
    metric = study.searched.objective.metric
    complete = sum(result.state == "complete" for result in results)
    if best is None or best.value is None:
        return ["No trial is complete.", ""]
    found = f"the best of {complete} complete trials, `{best.scenario.name}`, had {best.value:.4f} in the search"
    if confirmation is None:
        return [
            f"**Not confirmed.** By mean {metric}, {found}. That is the maximum of {complete} noisy means,"
            " so it is optimistic; `harness run best.yaml` measures it on fresh folds.",
            "",
        ]
    c = confirmation
    sign = 1 if study.searched.objective.maximize else -1
    return [
        f"**Confirmed {metric}: {c.mean:.4f}** (mean of {c.folds} fits, {len(c.repeat_means)} repeats of"
        f" {study.folds.k} fresh folds with fresh seeds; SD over folds {c.fold_sd:.4f}, means of the repeats"
        f" {min(c.repeat_means):.4f} to {max(c.repeat_means):.4f}); {found}. Optimism, the search minus the"
        " confirmation:"
        f" **{sign * (best.value - c.mean):+.4f}**.",
        "",
        "The folds are fresh, the images are not: the scenario was chosen on the same images that score it here. The"
        " test set was not used.",
        "",
    ]


def _effort(study: Study, results: list[TrialResult]) -> Iterable[str]:
    """The numbers of trials and fits, and the share of fits that pruning saved."""
    states = {state: sum(r.state == state for r in results) for state in ("complete", "pruned", "failed")}
    jobs = {job.id for result in results for job in result.jobs[: result.folds]}
    asked, done = sum(len(r.jobs) for r in results), sum(r.folds for r in results)
    search = study.searched
    rule = f"{search.sampler} sampler, {'median pruner on matched folds' if search.prunes else 'no pruner'}"
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    return [
        f"{len(results)} trials ({counts}; {rule}), {done} of {asked} fold fits"
        f" ({1 - done / asked:.0%} saved by pruning), {len(jobs)} of them different."
        if asked
        else "No trial has ended.",
        "",
    ]


def _reused(study: Study, results: list[TrialResult]) -> Iterable[str]:
    words = reused_words(results, study.searched.target())
    return [] if words is None else [f"{words}: their fits are those of that search; none was fitted again.", ""]


def _importances(shares: Mapping[str, float], failed: str | None, mark: str | None) -> Iterable[str]:
    if failed:
        return [f"{failed}.", ""]
    if not shares:
        needed = f"{MIN_COMPLETE_TRIALS} complete trials with different values and two parameters"
        return [f"No importances: they need {needed}.", ""]
    table = pd.DataFrame({"parameter": list(shares), "share of the variance": list(shares.values())})
    return [
        f"## Importance of the parameters ({EVALUATOR}, complete trials)",
        "",
        *marked_markdown(marked(table, mark)),
    ]


def _figures(
    marks: Marks, queue: Queue, results: list[TrialResult], shares: Mapping[str, float], folder: Path
) -> list[str]:
    """Draw the figures into `folder`, and return their names."""
    study, search = marks.study, marks.study.searched
    mark = together(marks.scenario(result.scenario.settings) for result in results)
    objective, table, scales = search.objective, _table(search, results), _scales(search)
    metric = objective.metric
    draw.history_figure(table, metric, objective.maximize, folder / "history.png", mark)
    draw.parallel_figure(table, scales, metric, folder / "parallel.png", mark)
    draw.slice_figure(table, scales, metric, folder / "slice.png", mark)
    names = ["history", "parallel", "slice"]
    if shares:
        draw.importances_figure(shares, EVALUATOR, folder / "importances.png", mark)
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
    attempt("no search.html", page.with_suffix(".txt"), lambda: interactive_figures(study, queue, page, mark))
    return names


def _table(search: Search, results: list[TrialResult]) -> pd.DataFrame:
    """The table of trials that figures/search.py draws."""
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


def _foot(workspace: Workspace, queue: Queue, results: list[TrialResult], marks: Marks, folder: Path) -> list[str]:
    study, inputs, ledger = workspace.study, workspace.inputs, workspace.ledger
    records = [ledger.record(job) for job in {job.id: None for result in results for job in result.done}]
    commands = read_commands(commands_folder(workspace))
    return [
        "`best.yaml` is the best scenario as a study. `search.html` has interactive versions of these figures; it is on"
        " the search's run in MLflow and in the store, and `harness search` on that store writes it again.",
        "",
        "## Provenance",
        "",
        f"- Optuna study `{queue.optuna_study.study_name}`, search seed {study.searched.seed}, study seed {study.seed}",
        f"- {data_words(workspace)}",
        f"- manifest `{inputs.digests.manifest}`, folds `{inputs.digests.all_folds}`",
        f"- {escaped(inputs.separation.of_folds)}",
        f"- in this store {run_words(records, commands)}",
        "",
        *origin_lines(records, commands, marks, folder),
    ]


def commands_folder(workspace: Workspace) -> Path:
    """The folder of the store with the commands of a search."""
    identity = search_id(workspace.study, workspace.inputs.digests)
    return workspace.store.studies / f"{workspace.study.study}-search" / identity
