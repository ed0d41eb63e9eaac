"""Nearly identical training images stay in one fold where the study says so."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from harness.data.audit import audit_study
from harness.data.cached_inputs import cache_inputs
from harness.data.data_lines import data_lines
from harness.data.dataset import ALIKE
from harness.data.inputs import Workspace
from harness.data.record import StudyRecord, write_record
from harness.errors import HarnessError, StudyError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from tests.conftest import PATIENT

TEXT = """\
study: alike
data: {{source: folder, path: {root}, image_size: 64, positive: B}}
folds: {{k: 2, repeats: 4, duplicates: {duplicates}}}
base: {{backbone: test_resnet, weights: none, epochs: 1}}
stages: [{{name: one, grid: {{head: [dropout-gap]}}}}]
"""
LoadStudy = Callable[..., Study]


@pytest.fixture
def load(image_folder: Path, study_of: LoadStudy) -> Callable[..., Study]:
    return lambda duplicates, *overrides: study_of(TEXT.format(root=image_folder, duplicates=duplicates), *overrides)


def plant(root: Path) -> list[set[str]]:
    """Two scenes in training, each in several versions; returns the images of each."""
    found = []
    for scene in range(2):
        smooth = Image.fromarray(np.random.default_rng(scene).integers(0, 255, (8, 8), dtype=np.uint8)).resize(
            (128, 128)
        )
        versions = {"plain": smooth, "mirrored": ImageOps.mirror(smooth), "turned": smooth.rotate(90)}
        found.append({f"train/A/s{scene}-{name}.jpg" for name in versions})
        for name, image in versions.items():
            image.save(root / f"train/A/s{scene}-{name}.jpg", quality=80)
    return found


def plant_moved(root: Path) -> list[set[str]]:
    """Four scenes in training, each with a copy that is turned by 4 degrees and one that is cropped."""
    found = []
    for scene in range(4):
        noise = np.random.default_rng(scene).integers(0, 255, (7, 7), dtype=np.uint8)
        wide = Image.fromarray(noise).resize((168, 168), Image.Resampling.BICUBIC)
        versions = {
            "plain": wide.crop((20, 20, 148, 148)),
            "turned": wide.rotate(4, Image.Resampling.BICUBIC).crop((20, 20, 148, 148)),
            "cropped": wide.crop((27, 26, 148, 147)).resize((128, 128), Image.Resampling.BICUBIC),
        }
        found.append({f"train/A/m{scene}-{name}.png" for name in versions})
        for name, image in versions.items():
            image.save(root / f"train/A/m{scene}-{name}.png")
    return found


def torn(workspace: Workspace, scenes: list[set[str]]) -> int:
    """How often a scene is on both sides of a fold."""
    images = workspace.inputs.dataset.table["image"]
    return sum(
        bool(scene & {*images.iloc[fold.train]} and scene & {*images.iloc[fold.validation]})
        for fold in workspace.inputs.folds
        for scene in scenes
    )


@pytest.mark.parametrize("rule", [(), (f"data.patient='{PATIENT[:-6]}[.][a-z]+$'",)])
def test_no_scene_is_on_both_sides_of_a_fold(
    rule: tuple[str, ...], load: LoadStudy, image_folder: Path, store: Store
) -> None:
    scenes = plant(image_folder)
    if rule:  # each version is of another patient by its name
        for scene in scenes:
            for image in scene:
                Path(image_folder, image).rename(image_folder / image.replace(".jpg", "-1.jpg").replace("-", "", 1))
        scenes = [{image.replace(".jpg", "-1.jpg").replace("-", "", 1) for image in scene} for scene in scenes]
    apart, together = (prepare(load(each, *rule), store) for each in ("apart", "together"))
    assert torn(apart, scenes) > 0, "so that the test says something"
    assert torn(together, scenes) == 0
    assert together.inputs.digests.manifest != apart.inputs.digests.manifest, "so its fits are others"
    assert "nearly identical training images stay in one fold: 6 in 2 groups" in data_lines(
        together.study, together.inputs.dataset
    )
    of_apart, of_together = (audit_study(w.study, w.inputs.dataset, w.inputs.folds, store) for w in (apart, together))
    assert of_apart.named("near-duplicate-across-folds") and not of_together.named("near-duplicate-across-folds")
    assert of_together.named("near-duplicate-across-patients")[0].text.count("folds keep them together") == 1
    record = StudyRecord(write_record(together).folder).workspace(store)
    assert record.inputs.dataset.digest == together.inputs.dataset.digest
    assert np.array_equal(record.inputs.dataset.groups, together.inputs.dataset.groups)


def test_images_without_such_copies_have_the_same_folds_and_fits(load: LoadStudy, store: Store) -> None:
    apart, together = (prepare(load(each), store) for each in ("apart", "together"))
    assert ALIKE not in together.inputs.dataset.table
    assert together.inputs.digests == apart.inputs.digests
    assert "nearly identical training images stay in one fold: there are none" in data_lines(
        together.study, together.inputs.dataset
    )
    stages = [[job.id for job in w.reader.stage(w.study.stages[0], None).missing] for w in (apart, together)]
    assert stages[0] == stages[1]


def test_what_was_found_is_cached_and_read_again(load: LoadStudy, image_folder: Path, store: Store) -> None:
    plant(image_folder)
    first = prepare(load("together"), store)
    assert not (store.cache / "alike").exists(), "nothing is written before the request is accepted"
    cache_inputs(first)
    (file,) = (store.cache / "alike").iterdir()
    file.write_text(str(list(range(len(first.inputs.dataset.rows("train"))))))
    assert ALIKE not in prepare(load("together"), store).inputs.dataset.table
    file.unlink()
    assert prepare(load("together"), store).inputs.digests == first.inputs.digests


def test_moved_copies_are_on_one_side_where_the_study_keeps_aligned_ones_together(
    load: LoadStudy, image_folder: Path, store: Store
) -> None:
    scenes, moved = plant(image_folder), plant_moved(image_folder)
    together, aligned = (prepare(load(each), store) for each in ("together", "aligned"))
    assert torn(together, moved) > 0, "hashes miss them"
    assert torn(aligned, [*scenes, *moved]) == 0
    groups = aligned.inputs.dataset.table.groupby(ALIKE)["image"].agg(set)
    assert [group for group in groups if len(group) > 1] == [*moved, *scenes], "and no other images are alike"
    line = "nearly identical or aligned training images stay in one fold: 18 in 6 groups, of which 4 would be apart"
    assert any(text.startswith(line) for text in data_lines(aligned.study, aligned.inputs.dataset))
    record = StudyRecord(write_record(aligned).folder).workspace(store)
    assert record.inputs.dataset.digest == aligned.inputs.dataset.digest
    assert data_lines(record.study, record.inputs.dataset) == data_lines(aligned.study, aligned.inputs.dataset)
    cache_inputs(aligned)
    cache_inputs(together)
    files = sorted((store.cache / "alike").iterdir(), key=lambda file: file.stat().st_size)
    assert len(files) == 2, "what is found by hashes is another file"
    again = prepare(load("aligned"), store).inputs.dataset.table
    assert again.equals(aligned.inputs.dataset.table)
    none = list(range(len(aligned.inputs.dataset.rows("train"))))
    files[-1].write_text(str([none, none]))
    assert ALIKE not in prepare(load("aligned"), store).inputs.dataset.table, "it is read"


def test_too_few_groups_are_refused_with_the_reason(load: LoadStudy, image_folder: Path, store: Store) -> None:
    for path in (image_folder / "train" / "A").glob("*.png"):
        path.unlink()
    plant(image_folder)
    with pytest.raises(HarnessError, match="3 folds need at least 3 images of each class; A has 2; nearly identical"):
        prepare(load("together", "folds.k=3"), store)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"grouped": "false"}, "grouped: false groups nothing"), ({"by": "site"}, "folds by site are read and not drawn")],
)
def test_folds_that_are_not_grouped_or_not_drawn_are_refused(
    fields: Mapping[str, str], words: str, load: LoadStudy
) -> None:
    with pytest.raises(StudyError, match=words):
        load("together", *(f"folds.{name}={value}" for name, value in fields.items()))
