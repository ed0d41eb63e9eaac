"""The report of a study: Markdown, CSV tables and PNG figures in one folder, from stored results alone."""

from dataclasses import replace
from pathlib import Path

from harness.data.data_lines import data_lines
from harness.data.folds import folds_words
from harness.data.inputs import Workspace
from harness.data.metadata import metadata_counts
from harness.data.patient_counts import class_counts
from harness.data.separation import oversampling_words
from harness.report.draft import Draft
from harness.report.figures.drawing import with_holes
from harness.report.numbers.comparisons import RunOf
from harness.report.numbers.marks import marked
from harness.report.numbers.records import write_statistics
from harness.report.numbers.statistics import study_statistics
from harness.report.page import PageLinks, write_page
from harness.report.sections.answer import answer_lines, answer_sentence
from harness.report.sections.audit_table import audit_lines
from harness.report.sections.beside_paper import paper_lines
from harness.report.sections.checklist import write_checklist
from harness.report.sections.conduct import conduct_lines
from harness.report.sections.corrected_labels import corrected_lines
from harness.report.sections.cost import cost_lines
from harness.report.sections.head import study_head_lines
from harness.report.sections.other_unit import other_draft, other_unit_lines
from harness.report.sections.paper_sides import Sides
from harness.report.sections.scenario_settings import settings_lines
from harness.report.sections.stages import result_lines
from harness.report.sections.study_file import study_file_lines
from harness.report.sections.summary import summary_lines
from harness.report.tables.export import escaped, marked_markdown, sentence
from harness.report.written import finished_results, written_now
from harness.store.failpoints import failpoint
from harness.store.files import new_folder
from harness.store.reports import place_report, replace_report
from harness.store.seals import seal
from harness.study.history import ENVIRONMENT_FILE
from harness.study.mixed import require_one_version
from harness.study.paper import load_published
from harness.study.provenance import environment
from harness.study.state import StudyState, all_scenarios


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
    unit = workspace.unit
    statistics = study_statistics(workspace, state, unit, run_of)
    target = workspace.report_folder(state.empty) if out is None else out.absolute()
    with new_folder(target.parent) as new:
        folder = new / "report"
        folder.mkdir()
        draft = Draft(workspace, state, statistics, folder, unit)
        other = other_draft(draft, run_of)
        summary = summary_lines(workspace, state, statistics)
        text = with_holes(_text(draft, other, summary), folder) + study_file_lines(workspace.study)
        (folder / "summary.md").write_text(
            "\n".join([*study_head_lines(draft), *answer_sentence(draft), *summary]) + "\n", encoding="utf-8"
        )
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


def _text(draft: Draft, other: Draft | None, summary: list[str]) -> list[str]:
    """Write the tables and figures of the report to the folder, and return its lines.

    other: the same study in the other unit, in a folder of its own.
    """
    return [
        f"# {draft.study.study}",
        "",
        *study_head_lines(draft),
        *("## Summary", "", *answer_lines(draft), *summary, ""),
        *_data(draft),
        *_settings(draft),
        *audit_lines(draft),
        *result_lines(draft),
        *cost_lines(draft),
        *other_unit_lines(draft, other),
        *_paper(other if other and draft.unit.patients else draft, draft.folder),
        *conduct_lines(draft),
    ]


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
        *corrected_lines(draft),
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


def _paper(draft: Draft, folder: Path) -> list[str]:
    """Write the comparison with a paper, whose numbers are of images, to the folder, and return the section."""
    if draft.study.paper_file is None:
        return []
    return paper_lines(Sides(load_published(draft.study.paper_file), replace(draft, folder=folder)))
