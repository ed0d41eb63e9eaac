"""Nearly identical images are found again where their files are at hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.dataset import ALIKE
from harness.data.record import StudyRecord, write_record
from harness.prepare import prepare
from harness.report.verified.alike_again import alike_items
from harness.report.verified.verify import Verification
from harness.store import Store
from harness.study import Study
from tests.data.test_alike import TEXT, plant, plant_moved


@pytest.mark.parametrize("duplicates", ["together", "aligned"])
def test_groups_of_a_record_are_held_against_the_images(
    duplicates: str, study_of: Callable[..., Study], image_folder: Path, store: Store
) -> None:
    plant(image_folder)
    plant_moved(image_folder)
    folder = write_record(prepare(study_of(TEXT.format(root=image_folder, duplicates=duplicates)), store)).folder
    found = [(i.verdict, i.words) for i in Verification(store, image_folder).records() if i.part == "images"]
    assert [verdict for verdict, _ in found] == ["holds", "holds"]
    assert found[1][1] == "found again, the nearly identical ones are those of the manifest"
    assert not (store.cache / "alike").exists(), "nothing is written"
    workspace = StudyRecord(folder).workspace(store)
    dataset = workspace.inputs.dataset
    names = dataset.table[ALIKE].where(~dataset.table[ALIKE].str.contains("s1-"), dataset.table["image"])
    torn = replace(workspace.inputs, dataset=replace(dataset, table=dataset.table.assign(**{ALIKE: names})))
    (item,) = alike_items("x", replace(workspace, inputs=torn), image_folder)
    assert item.verdict == "differs"


def test_a_study_that_keeps_none_together_finds_none(
    study_of: Callable[..., Study], image_folder: Path, store: Store
) -> None:
    workspace = prepare(study_of(TEXT.format(root=image_folder, duplicates="apart")), store)
    assert not list(alike_items("x", workspace, image_folder))
