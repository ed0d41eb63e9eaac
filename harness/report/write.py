"""The report of a study: Markdown, CSV tables and PNG figures in one folder, from stored results alone."""

from pathlib import Path

from harness.data.data_lines import data_lines
from harness.data.folds import folds_words
from harness.data.inputs import Workspace
from harness.data.metadata import metadata_counts
from harness.data.patient_counts import class_counts
from harness.data.separation import oversampling_words
from harness.report.draft import Draft
from harness.report.figures import study as figures
from harness.report.figures.drawing import with_holes
from harness.report.figures.intervals import scenario_intervals
from harness.report.numbers.comparisons import TEST, RunOf
from harness.report.numbers.inflation import INFLATION
from harness.report.numbers.marks import marked, together
from harness.report.numbers.records import Statistics, write_statistics
from harness.report.numbers.statistics import selection_words, study_statistics
from harness.report.page import PageLinks, write_page
from harness.report.registered import registration_lines
from harness.report.sections.beside_paper import Sides, paper_lines
from harness.report.sections.checklist import write_checklist
from harness.report.sections.conduct import conduct_lines
from harness.report.sections.gap import gap_lines
from harness.report.sections.head import head_lines
from harness.report.sections.odd_images import odd_lines
from harness.report.sections.on_test_set import test_comparison_lines, test_lines
from harness.report.sections.out_of_fold import winner_lines
from harness.report.sections.scenario_settings import settings_lines
from harness.report.sections.study_file import study_file_lines
from harness.report.sections.subgroups import subgroup_lines
from harness.report.sections.summary import summary_lines
from harness.report.tables import study as tables
from harness.report.tables.export import escaped, export_table, marked_markdown, sentence
from harness.report.tables.statistics import FITTED_MODELS_NOTE, comparison_table
from harness.report.written import finished_results, written_now
from harness.store.failpoints import failpoint
from harness.store.files import new_folder
from harness.store.reports import place_report, replace_report
from harness.store.seals import seal
from harness.study.history import ENVIRONMENT_FILE
from harness.study.mixed import require_one_version
from harness.study.paper import load_published
from harness.study.provenance import environment
from harness.study.state import StageState, StudyState, all_scenarios
from harness.study.types import plain_metric


def write_report(
    workspace: Workspace, state: StudyState, run_of: RunOf = lambda *_: None, links: PageLinks | None = None,
    out: Path | None = None,
) -> Path:  # fmt: skip
    """Write the report of a study, and return the path of its `report.md`; index.html is the same page.

    The study's report folder is replaced as a whole; the report of another study of the same name stays next to it.

    run_of: returns the MLflow run of a level and a key; its id is stored with the numbers. links: into MLflow, for
    index.html. out: a new folder for the report, or one with an older report, in place of its folder in the store.
    """
    store = workspace.store
    require_one_version(state.fits, store.mixed_versions)
    statistics = study_statistics(workspace, state, run_of)
    target = workspace.report_folder(state.empty) if out is None else out.absolute()
    with new_folder(target.parent) as new:
        folder = new / "report"
        folder.mkdir()
        draft = Draft(workspace, state, statistics, folder)
        summary = summary_lines(workspace, state, statistics)
        text = with_holes(_text(draft, summary), folder) + study_file_lines(workspace.study)
        (folder / "summary.md").write_text("\n".join([*_head(draft), *summary]) + "\n", encoding="utf-8")
        (folder / "report.md").write_text("\n".join(text) + "\n", encoding="utf-8")
        (folder / ENVIRONMENT_FILE).write_text(_environment(workspace), encoding="utf-8")
        write_statistics(statistics, folder)
        write_page(folder, links)
        write_checklist(draft)
        last = workspace.ledger.looks.chain.last()
        written_now(finished_results(workspace, state), last["number"] if last else 0, links).save(folder)
        seal(folder)
        failpoint("report.written")
        if out is None:
            replace_report(folder, target, workspace.identity)
        else:
            place_report(folder, target)
    return target / "report.md"


def _environment(workspace: Workspace) -> str:
    """The environment of the last fits; of this command where none is recorded."""
    path = workspace.folder / ENVIRONMENT_FILE
    return path.read_text(encoding="utf-8") if path.exists() else environment()


def _text(draft: Draft, summary: list[str]) -> list[str]:
    """Write the tables and figures of the report to the folder, and return its lines."""
    return [
        f"# {draft.study.study}",
        "",
        *_head(draft),
        *("## Summary", "", *summary, ""),
        *_data(draft),
        *_settings(draft),
        *_audit(draft),
        *(line for stage in draft.state.stages for line in _stage(draft, stage)),
        *winner_lines(draft),
        *(line for test in draft.state.tests for line in test_lines(draft, test)),
        *test_comparison_lines(draft),
        *subgroup_lines(draft),
        *_findings(draft.statistics),
        *gap_lines(draft.statistics.estimates, draft.workspace.audit, draft.folder),
        *_paper(draft),
        *conduct_lines(draft),
    ]


def _head(draft: Draft) -> list[str]:
    best_epoch = any(scenario.settings.select_epoch == "best" for scenario in draft.state.scenarios)
    return [*registration_lines(draft.statistics), *head_lines(draft.marks, draft.dataset, best_epoch)]


def _data(draft: Draft) -> list[str]:
    study, inputs = draft.study, draft.inputs
    spec, shared = study.folds, inputs.separation
    separation = escaped(shared.of_folds) if shared.sound else f"**{escaped(shared.of_folds)}**"
    settings = [s.settings for s in draft.state.scenarios]
    return [
        "## Data and folds",
        "",
        *marked_markdown(marked(class_counts(inputs.dataset), draft.marks.every)),
        *_metadata(draft),
        *(f"{line[0].upper()}{line[1:]}.\n" for line in data_lines(study, inputs.dataset)),
        *([sentence(shared.of_rule), ""] if shared.known else []),
        f"{escaped(folds_words(inputs.dataset, spec, inputs.folds))}, {separation}."
        f" Across the splits: {shared.of_splits}. In training: {oversampling_words(settings)}.",
        "",
    ]


def _metadata(draft: Draft) -> list[str]:
    if not draft.dataset.metadata:
        return []
    return marked_markdown(marked(metadata_counts(draft.dataset), draft.marks.every))


def _settings(draft: Draft) -> list[str]:
    stages = {scenario.id: ", ".join(names) for scenario, names in all_scenarios(draft.state.stages)}
    return settings_lines(draft.marks, draft.inputs, draft.state.scenarios, draft.folder, stages)


def _audit(draft: Draft) -> list[str]:
    audit = draft.workspace.audit
    (draft.folder / "audit.json").write_text(audit.to_json(draft.marks.of_study), encoding="utf-8")
    shown = [f for f in audit.findings if f.name != "counts"]
    accepted = {f.name: " (accepted by name)" for f in shown if f.severity == "error" and f.accepted}
    lines = [f"- {f.severity}: {f.text}{accepted.get(f.name, '')}" for f in shown]
    return ["## Audit", "", *lines, "", *odd_lines(draft)]


def _findings(statistics: Statistics) -> list[str]:
    found = [f"- {finding.text}." for finding in statistics.findings if finding.kind == INFLATION]
    note = "Copies in a validation set change its class shares; balanced accuracy, which ignores them, is comparable."
    return ["## Inflation by oversampling before the split", "", note, "", *found, ""] if found else []


def _paper(draft: Draft) -> list[str]:
    if draft.study.paper_file is None:
        return []
    return paper_lines(Sides(load_published(draft.study.paper_file), draft))


def _stage(draft: Draft, state: StageState) -> list[str]:
    name, marks, folder = state.stage.name, draft.marks, draft.folder
    lines = [f"## Stage {name}", ""]
    if state.waits_for:
        return [*lines, f"Not run: it starts from the winner of stage {state.waits_for}, which is not known yet.", ""]
    metric = state.stage.select.metric if state.stage.select else "val/accuracy"
    board = tables.leaderboard(state, marks)
    title = f"{marks.study.study}, stage {name}"
    mark = together(marks.scenario(s.settings) for s in state.scenarios)
    curve = plain_metric(metric)
    figures.validation_curves(state.scenarios, curve, title, folder / f"curves-{name}.png", vector=True, mark=mark)
    lines += [
        f"Mean over the folds and its standard deviation (SD), best {metric} first.",
        "",
        *export_table(board, folder, f"leaderboard-{name}"),
        *_intervals(draft, state, title, mark),
        f"![{curve} by epoch](curves-{name}.png)",
        "",
        f"*{curve} by epoch: mean over the folds, and their range as a band.*",
        "",
    ]
    if state.best and state.finished:
        lines += [*selection_words(state), ""]
    names = {scenario.name for scenario in state.scenarios}
    compared = [c for c in draft.statistics.comparisons if {c.first, c.second} <= names and c.on != TEST]
    if compared:
        lines += export_table(comparison_table(compared), folder, f"comparisons-{name}")
        lines += [FITTED_MODELS_NOTE, ""] if any(c.compares == "fitted models" for c in compared) else []
    if state.missing:
        holes = ", ".join(f"{job.scenario.name} ({job.name})" for job in state.missing[:10])
        lines += [f"**Missing:** {len(state.missing)} of the stage's fits are not done: {holes}.", ""]
    return lines


def _intervals(draft: Draft, state: StageState, title: str, mark: str | None) -> list[str]:
    """Draw the intervals of the finished scenarios, out of fold; empty where none is finished."""
    if not any(scenario.finished for scenario in state.scenarios):
        return []
    names = [s.name for s in state.scenarios if s.finished]
    path = draft.folder / f"intervals-{state.stage.name}.png"
    scenario_intervals(draft.statistics.estimates, names, title, path, mark)
    unit = draft.inputs.separation.unit
    note = (
        f"*Out of fold, all folds together: 95 % intervals by resampling {unit} (dotted, by Wilson, where all resamples"
        " agree). The means over the folds in the table above are the main result: ranking the scores of all folds"
        " together mixes different models, and the ROC AUC is mostly lower.*"
    )
    return [f"![intervals of the scenarios]({path.name})", "", note, ""]
