"""The head of a report: the author's words, and what a reader must know before any number."""

from harness.data.dataset import Dataset
from harness.report.draft import Draft
from harness.report.numbers.marks import Marks
from harness.report.registered import registration_lines
from harness.report.tables.export import escaped
from harness.study import Study
from harness.study.rehearsal import rehearsal

SYNTHETIC_WARNING = (
    "**SYNTHETIC DATA.** The images are drawn by a procedure; no number here says anything about patients."
)
BEST_EPOCH_WARNING = (
    "**Optimistic choice.** `select_epoch: best` selects the epoch with the best score on the same images that it is"
    " scored on; these validation numbers are too good."
)


def study_head_lines(draft: Draft) -> list[str]:
    """The head of the report of a study: whether it was registered, what its numbers are about, and warnings."""
    best_epoch = any(scenario.settings.select_epoch == "best" for scenario in draft.state.scenarios)
    unit = [f"**Unit: {draft.unit.words}.**", ""] if draft.unit.patients else []
    return [*registration_lines(draft.statistics), *unit, *head_lines(draft.marks, draft.dataset, best_epoch)]


def head_lines(marks: Marks, dataset: Dataset, best_epoch: bool) -> list[str]:
    """The lines in Markdown. best_epoch: whether any scenario counts its best epoch."""
    warnings = [
        *([SYNTHETIC_WARNING] if marks.synthetic else []),
        *_rehearsal(marks.study, dataset),
        *([BEST_EPOCH_WARNING] if best_epoch else []),
        *(f"**{escaped(mark)}.**" for mark in marks.fits),
    ]
    return [line for paragraph in (*_description(marks.study), *warnings) for line in (paragraph, "")]


def _description(study: Study) -> list[str]:
    """The description as the author's words: nothing in it was compared with the run."""
    return [f"The study file says: {escaped(study.description)}"] if study.description else []


def _rehearsal(study: Study, dataset: Dataset) -> list[str]:
    less = rehearsal(study)
    if not less:
        return []
    sizes = {words: len(dataset.rows(split)) for words, split in (("training", "train"), ("test", "test"))}
    sealed = "; no test image was scored" if sizes["test"] and study.test is None else ""
    counts = [f"{size:,} {words} images" for words, size in sizes.items() if size and not (sealed and words == "test")]
    images = f" Only {' and '.join(counts)} were used{sealed}." if study.data.limit else ""
    return [f"**Rehearsal.** Less was run than the study says: {', '.join(less)}.{images}"]
