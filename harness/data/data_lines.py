"""What a study reads of the images that it is given, and what not, in lines for the plan, the run and the report."""

from collections.abc import Iterator

from harness.data.alike import alike_words
from harness.data.corrections import pairs
from harness.data.dataset import LEADING, Dataset, set_split
from harness.data.drawn_apart import keeps_apart
from harness.data.folder_layout import FLAT_WORDS
from harness.data.patient_counts import UNKNOWN
from harness.data.patients import SPLIT_FOLDERS
from harness.study import Study
from harness.study.number_words import number_of
from harness.study.set_block import drawn_words


def data_lines(study: Study, dataset: Dataset) -> list[str]:
    """How the folder is read if it has no train/, how test sets were made, and each kind of file that is not read."""
    lines = [FLAT_WORDS] if _is_flat(dataset) else []
    tested, spec = len(dataset.rows(LEADING)), study.data.test.held_out if study.data.test else None
    if spec is not None:
        apart = ", nearly identical images on one side" * keeps_apart(study)
        lines.append(f"test set: {tested:,} of {len(dataset.table):,} images{drawn_words(spec)}{apart}")
    lines += _set_lines(study, dataset)
    lines += map(str, dataset.left_out)
    lines += [] if study.folds.duplicates == "apart" else [alike_words(study, dataset)]
    if dataset.corrected:
        trained, count = len(dataset.rows("train")), len(dataset.corrected)
        lines.append(f"labels corrected: {count:,} of {trained:,} training images ({pairs(dataset.corrected)})")
    if study.test is not None and not tested:
        why = "no row is of the split test" if "row" in dataset.table else "there is no folder test/"
        lines.append(f"no test set: {why}, so `test:` scores nothing")
    return lines


def _set_lines(study: Study, dataset: Dataset) -> Iterator[str]:
    """What each named test set holds, how it was made, and what it shares with training."""
    train = dataset.table[dataset.table["split"] == "train"]
    for number, name in enumerate(dataset.sets):
        split = set_split(name) if number else LEADING
        rows, known = dataset.rows(split), dataset.patients_known(split)
        images = dataset.table.iloc[rows]
        count = images["patient"].nunique()
        of = f" of {number_of(count, 'patient')}" if known else f", {UNKNOWN}"
        classes = ", ".join(f"{label} {count:,}" for label, count in dataset.counts(rows).items())
        both = [(len({*images[c]} & {*train[c]}), what) for c, what in (("patient", "patient"), ("sha256", "file"))]
        shared = " and ".join(
            number_of(count, what) if count else f"no {what}s" for count, what in both if known or what == "file"
        )
        yield (
            f"test set {name} ({study.data.sets[name].words}): {len(rows):,} images{of} ({classes}); shared with"
            f" training: {shared} (checked)"
        )


def test_split_words(study: Study) -> str:
    """Whose the test images are: the data's own split, a part that the study holds out, or several sets."""
    if study.data.sets:
        return f"in sets: {'; '.join(f'{name} ({spec.words})' for name, spec in study.data.sets.items())}"
    spec = study.data.test.held_out if study.data.test else None
    return f"{spec.share:g} of the same images{drawn_words(spec)}" if spec else "the data's own"


def _is_flat(dataset: Dataset) -> bool:
    """Whether the images are of a folder without train/."""
    first = dataset.table["image"].iloc[0].partition("/")[0]
    return "row" not in dataset.table and first not in SPLIT_FOLDERS
