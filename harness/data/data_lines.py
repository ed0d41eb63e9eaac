"""What a study reads of the images that it is given, and what not, in lines for the plan, the run and the report."""

from harness.data.dataset import Dataset
from harness.data.folder_layout import FLAT_WORDS
from harness.data.patients import SPLIT_FOLDERS
from harness.study import Study
from harness.study.data_block import HeldOut


def data_lines(study: Study, dataset: Dataset) -> list[str]:
    """How the folder is read if it has no train/, how the test set was made, and each kind of file that is not read."""
    lines = [FLAT_WORDS] if _is_flat(dataset) else []
    tested, spec = len(dataset.rows("test")), study.data.test
    if spec is not None:
        lines.append(f"test set: {tested:,} of {len(dataset.table):,} images{_drawn(spec)}")
    lines += map(str, dataset.left_out)
    if study.test is not None and not tested:
        why = "no row is of the split test" if "row" in dataset.table else "there is no folder test/"
        lines.append(f"no test set: {why}, so `test:` scores nothing")
    return lines


def test_split_words(study: Study) -> str:
    """Whose the test split is: the data's own, or a part that the study holds out."""
    spec = study.data.test
    return "the data's own" if spec is None else f"{spec.share:g} of the same images{_drawn(spec)}"


def _drawn(spec: HeldOut) -> str:
    whole = ", whole patients" if spec.by == "patient" else ""
    return f"{whole}, drawn at random (data.test, seed {spec.seed})"


def _is_flat(dataset: Dataset) -> bool:
    """Whether the images are of a folder without train/."""
    first = dataset.table["image"].iloc[0].partition("/")[0]
    return "row" not in dataset.table and first not in SPLIT_FOLDERS
