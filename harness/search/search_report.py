"""The report of a search: the best trial, its confirmed score, and the parameters that matter."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from harness.data.inputs import Workspace
from harness.errors import failure
from harness.report.figures.drawing import with_holes
from harness.report.numbers.marks import marked
from harness.report.page import write_page
from harness.report.sections.conduct import data_words, origin_lines, run_words
from harness.report.sections.head import head_lines
from harness.report.sections.scenario_settings import settings_lines
from harness.report.sections.study_file import study_file_lines
from harness.report.tables.export import escaped, marked_markdown, sentence
from harness.report.written import written_now
from harness.search.analysis import EVALUATOR, MIN_COMPLETE_TRIALS
from harness.search.confirm import Confirmed
from harness.search.figures import SearchDraft, draw_figures
from harness.search.queue import Queue
from harness.search.search_record import search_folder
from harness.search.trials import (
    TrialResult,
    best_trial,
    reused_words,
    shown,
    trial_states,
    trials_frame,
)
from harness.store.files import new_folder
from harness.store.reports import SEARCH_FILE, replace_report, report_place
from harness.store.seals import seal
from harness.study import Study
from harness.study.history import read_commands
from harness.study.identity import digest, search_id
from harness.study.number_words import number_of

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
    target, identity = report_folder(workspace, best_trial(study, results) is None), search_id(study, inputs.digests)
    with new_folder(store.reports) as new:
        folder = new / "report"
        folder.mkdir()
        draft = SearchDraft(workspace, queue, results, confirmation, folder)
        if best_file is not None:
            shutil.copy(best_file, folder / "best.yaml")
        trials_frame(draft.marks, results).to_csv(folder / "trials.csv", index=False)
        text = with_holes(_text(draft), folder)
        (folder / "report.md").write_text("\n".join([*text, *study_file_lines(study)]) + "\n", encoding="utf-8")
        (folder / SEARCH_FILE).write_text(json.dumps({"search_id": identity}) + "\n", encoding="utf-8")
        write_page(folder)
        written_now(trials_digest(workspace, results)).save(folder)
        seal(folder)
        replace_report(folder, target, identity)
    return target / "report.md"


def trials_digest(workspace: Workspace, results: list[TrialResult]) -> str:
    """The digest of the trials that have ended and of the commands that ran them: what a report is made of."""
    commands = [command.time for command in read_commands(search_folder(workspace))]
    return digest([[[r.slot, r.scenario.id, r.state, r.value] for r in results], commands])


def _text(draft: SearchDraft) -> list[str]:
    """The report up to the study file; its figures are drawn."""
    workspace, study, results, marks = draft.workspace, draft.study, draft.results, draft.marks
    inputs, board = workspace.inputs, trials_frame(marks, results)
    figures = draw_figures(draft) if best_trial(study, results) else []
    return [
        f"# {study.study}: search",
        "",
        *head_lines(marks, inputs.dataset, any(r.scenario.settings.select_epoch == "best" for r in results)),
        *([] if inputs.separation.sound else [f"**{sentence(inputs.separation.of_folds)}**", ""]),
        *_headline(study, results, draft.confirmation),
        *_effort(study, results),
        *_reused(study, results),
        *_importances(draft.shares, failure(draft.folder / "importances.txt"), marks.every),
        "## Trials",
        "",
        *marked_markdown(shown(study, board.head(MAX_TRIALS_IN_REPORT))),
        f"The first {min(MAX_TRIALS_IN_REPORT, len(board))} of {len(board)}; all are in `trials.csv`.",
        "",
        *(line for name in figures for line in (f"![{name}]({name}.png)", "")),
        *settings_lines(marks, inputs, trial_states(workspace, results), draft.folder, {}),
        *_foot(draft),
    ]


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
        f"**Confirmed {metric}: {c.mean:.4f}** (mean of {c.folds} fits, {number_of(len(c.repeat_means), 'repeat')} of"
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
        f"{number_of(len(results), 'trial')} ({counts}; {rule}), {done} of {asked} fold fits"
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


def _foot(draft: SearchDraft) -> list[str]:
    workspace, study, inputs = draft.workspace, draft.study, draft.workspace.inputs
    name, seed = draft.queue.optuna_study.study_name, study.searched.seed
    jobs = {job.id: None for result in draft.results for job in result.done}
    records = [workspace.ledger.record(job) for job in jobs]
    commands = read_commands(search_folder(workspace))
    return [
        "`best.yaml` is the best scenario as a study. `search.html` has interactive versions of these figures; it is on"
        " the search's run in MLflow and in the store, and `harness search` on that store writes it again.",
        "",
        "## Provenance",
        "",
        f"- Optuna study `{name}`, search seed {seed}, study seed {study.seed}",
        f"- {data_words(workspace)}",
        f"- manifest `{inputs.digests.manifest}`, folds `{inputs.digests.all_folds}`",
        f"- {escaped(inputs.separation.of_folds)}",
        f"- in this store {run_words(records, commands)}",
        "",
        *origin_lines(records, commands, draft.marks, draft.folder),
    ]
