"""A test set that is drawn has no image nearly identical to a training image, where the study keeps such together."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.audit import audit_study
from harness.data.cached_inputs import cache_inputs
from harness.data.data_lines import data_lines
from harness.data.dataset import ALIKE, Dataset
from harness.data.record import StudyRecord, write_record
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from tests.data.test_alike import plant, plant_moved

TEXT = """\
study: drawn
data: {{source: folder, path: {root}, image_size: 64, positive: B, test: {{share: 0.3, by: image, seed: 1}}}}
folds: {{k: 2, duplicates: {duplicates}}}
base: {{backbone: test_resnet, weights: none, epochs: 1}}
stages: [{{name: one, grid: {{head: [dropout-gap]}}}}]
"""
LoadStudy = Callable[..., Study]


@pytest.fixture
def load(image_folder: Path, study_of: LoadStudy) -> LoadStudy:
    shutil.rmtree(image_folder / "test")
    return lambda duplicates, *overrides: study_of(TEXT.format(root=image_folder, duplicates=duplicates), *overrides)


def torn(dataset: Dataset, scenes: list[set[str]]) -> int:
    """How many scenes are in training and in the test set."""
    splits = dataset.table.set_index("image")["split"]
    return sum(splits.loc[[image for image in splits.index if image in scene]].nunique() > 1 for scene in scenes)


@pytest.mark.parametrize("duplicates", ["together", "aligned"])
def test_no_scene_is_on_both_sides_of_the_draw(
    duplicates: str, load: LoadStudy, image_folder: Path, store: Store
) -> None:
    scenes = plant(image_folder) if duplicates == "together" else plant_moved(image_folder)
    apart, kept = (prepare(load(each), store) for each in ("apart", duplicates))
    assert torn(apart.inputs.dataset, scenes) > 0, "so that the test says something"
    dataset = kept.inputs.dataset
    assert torn(dataset, scenes) == 0
    assert sorted(dataset.table["image"]) == sorted(apart.inputs.dataset.table["image"])
    shares = (dataset.table["split"] == "test").groupby(dataset.table["label"]).mean()
    assert shares.between(0.15, 0.45).all(), "each class has about its share"
    found = audit_study(kept.study, dataset, kept.inputs.folds, store)
    assert not found.named("near-duplicate-across-splits") and not found.named("near-duplicate-across-folds")
    line = next(line for line in data_lines(kept.study, dataset) if line.startswith("test set:"))
    assert line.endswith("drawn at random (data.test, seed 1), nearly identical images on one side")
    record = StudyRecord(write_record(kept).folder).workspace(store)
    assert record.inputs.dataset.digest == dataset.digest
    assert data_lines(record.study, record.inputs.dataset) == data_lines(kept.study, dataset)


def test_a_draw_that_tears_no_such_images_is_as_it_was(load: LoadStudy, store: Store) -> None:
    apart, together = (prepare(load(each), store).inputs for each in ("apart", "together"))
    assert together.dataset.table.equals(apart.dataset.table)
    assert together.digests == apart.digests


def test_a_study_that_accepts_them_keeps_its_test_set(load: LoadStudy, image_folder: Path, store: Store) -> None:
    plant(image_folder)
    accepts = "audit.accept=[near-duplicate-across-splits]"
    apart, together = (prepare(load(each, accepts), store).inputs.dataset for each in ("apart", "together"))
    assert together.table["split"].equals(apart.table["split"])


def test_what_was_found_for_the_draw_is_cached_and_the_folds_have_it(
    load: LoadStudy, image_folder: Path, store: Store
) -> None:
    scenes = plant(image_folder)
    first = prepare(load("together"), store)
    assert not (store.cache / "alike").exists(), "nothing is written before the request is accepted"
    cache_inputs(first)
    files = sorted((store.cache / "alike").iterdir(), key=lambda file: file.stat().st_size)
    again = prepare(load("together"), store).inputs
    assert again.digests == first.inputs.digests
    groups = first.inputs.dataset.table.groupby(ALIKE)["image"].agg(set)
    kept = [scene for scene in scenes if any(image in scene for image in _training(first.inputs.dataset))]
    assert [group for group in groups if len(group) > 1] == kept
    files[-1].write_text(str([list(range(len(first.inputs.dataset.table)))]))
    assert torn(prepare(load("together"), store).inputs.dataset, scenes) > 0, "the file is read"


def _training(dataset: Dataset) -> set[str]:
    return set(dataset.table.loc[dataset.table["split"] == "train", "image"])
