"""The page of suspicious labels: for a reader who looks at them again, and corrects those that are wrong."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.data.inputs import Workspace
from harness.data.pictures import picture
from harness.errors import HarnessError
from harness.report.numbers.label_suspects import CORRECTED, LabelSuspects, label_suspects
from harness.report.numbers.marks import marked, study_marks
from harness.report.numbers.predictions import Predictions
from harness.report.page import page_html
from harness.report.sections.thumbnails import pictured, thumbnail_links
from harness.report.tables.export import escaped, marked_markdown
from harness.store.files import new_folder
from harness.study.number_words import number_of, verb
from harness.study.state import StudyState

FILE = "label-errors.csv"
MAX_SHOWN = 60  # suspects with their pictures on the page; all are in the file
HOW = f"""\
A suspect is no error: models doubt a hard image, too. Look at each without the column of suggestions, best with a
second reader. Labels that are changed only where models disagree with them flatter the models, so the report of a study
with corrected labels marks its validation numbers.

1. Write the right class into the column `{CORRECTED}` of `{FILE}`; leave it empty where the label stays.
2. Write into the study file: `data: {{corrections: {FILE}}}`, by its path from there.
3. Run the study again: every fit is a new one, and its report lists what was changed. The test set stays as it is.
"""


@dataclass(frozen=True)
class LabelErrors:
    """What was written: the folder, and the number of suspects among the training images."""

    out: Path
    suspects: int
    images: int


def write_label_errors(workspace: Workspace, out: Path) -> LabelErrors:
    """Write the page, `label-errors.csv`, `label-noise.csv` and thumbnails to a new folder: all of it, or nothing.

    Raises HarnessError where the folder is not empty, nothing is finished, or cleanlab is not installed.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HarnessError(f"--out {out}: it exists and may hold labels that were corrected; name a new folder")
    state = workspace.reader.read(provisional=True)
    found = label_suspects(state, Predictions(workspace.ledger, workspace.inputs.dataset.positive))
    with new_folder(out.parent) as temporary:
        folder = temporary / "label-errors"
        folder.mkdir()
        text = "\n".join(_page(workspace, state, found, folder))
        (folder / "index.html").write_text(page_html(text, folder, {}), encoding="utf-8")
        if out.exists():
            out.rmdir()
        folder.rename(out)
    return LabelErrors(out, len(found.table), found.images)


def _page(workspace: Workspace, state: StudyState, found: LabelSuspects, folder: Path) -> list[str]:
    """Write the tables and thumbnails to the folder, and return the page in Markdown."""
    study, dataset = workspace.study, workspace.inputs.dataset
    mark = "; ".join(study_marks(study, dataset.synthetic)) or None
    marked(found.table, mark).to_csv(folder / FILE, index=False)
    marked(found.noise, mark).to_csv(folder / "label-noise.csv", index=False)
    repeats = f" in {found.repeats} repeats of the folds" if found.repeats > 1 else ""
    count = len(found.table)
    return [
        f"# {study.study}: labels to look at again",
        "",
        f"{count:,} of {found.images:,} training images {verb(count, 'is a suspect', 'are suspects')}, by"
        f" {number_of(found.scenarios, 'scenario')}{repeats}: every"
        " prediction is of models that were not trained on the image. The test set was not read.",
        "",
        *HOW.splitlines(),
        "",
        "## Suspects",
        "",
        *([f"*{escaped(mark)}*", ""] if mark else []),
        *_pictured(workspace, state, found, folder),
        "",
        "## Estimated noise",
        "",
        "How many images of each class are probably of another one (confident learning, Northcutt et al. 2021). Models"
        " that err often make this too many:",
        "",
        *marked_markdown(marked(found.noise, mark)),
        "The score of a label is the probability that the models give it, weighted by their accuracy (`cleanlab`:"
        " `get_label_quality_ensemble_scores`, `find_label_issues`, `estimate_joint`).",
    ]


def _pictured(workspace: Workspace, state: StudyState, found: LabelSuspects, folder: Path) -> list[str]:
    """The table of the worst suspects with their pictures."""
    shown = found.table.drop(columns=[CORRECTED, "patient"], errors="ignore").head(MAX_SHOWN)
    if not len(shown):
        return ["No label is a suspect."]
    dataset = workspace.inputs.dataset
    rows = {image: row for row, image in enumerate(dataset.table["image"])}
    picture_of = partial(picture, dataset, state.scenarios[0].settings.framing, workspace.store)
    links = thumbnail_links((rows[image] for image in shown["image"]), shown["image"], picture_of, folder, "suspect")
    more = len(found.table) - len(shown)
    words = [f"The {len(shown)} worst; {more:,} more are in `{FILE}`.", ""] if more else []
    return [*words, *pictured(shown, links)]
