import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.record import write_record
from harness.errors import DataError, StudyError
from harness.prepare import named_workspace, prepare, stored_workspace
from harness.store import Store
from harness.study import Study
from tests.conftest import Finished

StudyOf = Callable[..., Study]


@pytest.fixture
def own(finished: Finished, tmp_path: Path) -> Store:
    """The jobs and the record of the small study in a store without its images."""
    store = Store(tmp_path / "own")
    for folder in ("jobs", "studies"):
        shutil.copytree(finished.store.root / folder, store.root / folder)
    return store


@pytest.fixture
def said() -> list[str]:
    return []


def record_variant(study: Study, finished: Finished, own: Store) -> str:
    """Record a variant in the store as its run would have done, and return its id."""
    workspace = replace(prepare(study, finished.store), store=own)
    write_record(workspace)
    return workspace.identity


def test_images_that_are_at_hand_are_read(finished: Finished, said: list[str]) -> None:
    assert stored_workspace(finished.study, finished.store, said.append).images
    assert said == []


def test_without_the_images_a_study_is_read_from_its_record(finished: Finished, own: Store, said: list[str]) -> None:
    found = stored_workspace(finished.study, own, said.append)
    assert not found.images
    assert found.reader.read().finished
    assert said == ["read from the record in the store: the images are not at hand"]
    assert not own.data.exists(), "no synthetic image is drawn"


def test_a_study_that_was_never_run_is_read_from_its_one_variant(
    small_study: StudyOf, own: Store, said: list[str]
) -> None:
    found = stored_workspace(small_study("base.epochs=3"), own, said.append)
    assert found.study.base.epochs == 2
    assert re.fullmatch(r"this study was not run in .*: \w{8} \(base\.epochs 2, asked: 3\)", said[0])


def test_of_several_variants_one_is_named_by_its_id(
    small_study: StudyOf, finished: Finished, own: Store, said: list[str]
) -> None:
    plain, variant = prepare(finished.study, finished.store).identity, small_study("base.epochs=1")
    identity = record_variant(variant, finished, own)
    with pytest.raises(StudyError, match=r"2 variants .*asked: 3\).*asked: 3\); give the id of one") as refused:
        stored_workspace(small_study("base.epochs=3"), own, said.append)
    assert plain[:8] in str(refused.value) and identity[:8] in str(refused.value)
    assert stored_workspace(variant, own, said.append).identity == identity
    assert named_workspace(identity[:8], own).study.base.epochs == 1
    assert named_workspace("small", own).identity == plain, "that without --set"


def test_a_name_that_the_store_does_not_have_is_refused_with_those_that_it_has(own: Store) -> None:
    with pytest.raises(StudyError, match=r"^nothing: no such study file, and no study of .*; its studies: small$"):
        named_workspace("nothing", own)


def test_other_images_are_another_study(small_study: StudyOf, finished: Finished, own: Store, said: list[str]) -> None:
    shutil.copytree(finished.store.data, own.data)
    study = small_study("data.phantom.seed=1")
    prepare(study, own)  # draws its images
    assert not stored_workspace(study, own, said.append).images
    assert "(data.phantom.seed 0, asked: 1)" in said[0]


def test_a_run_without_images_says_what_works_without(own: Store, study_of: StudyOf, finished: Finished) -> None:
    text = finished.study.text.replace("source: phantom", "source: folder, path: gone")
    with pytest.raises(DataError, match=r"gone is not a folder; .*without the images, report, status, .* work from"):
        prepare(study_of(text), own)


def test_a_variant_and_an_empty_study_never_take_the_place_of_a_report(
    small_study: StudyOf, finished: Finished
) -> None:
    plain, variant = prepare(finished.study, finished.store), prepare(small_study("base.epochs=1"), finished.store)
    assert plain.report_folder().name == "small"
    assert variant.report_folder().name == f"small-{variant.identity[:8]}"
    edited = replace(variant, study=variant.study.model_copy())
    edited.study._changed = {}
    assert edited.report_folder().name == "small", "an edited file moves the report of the older one aside"
    assert edited.report_folder(empty=True).name == f"small-{edited.identity[:8]}"


def test_a_record_of_other_images_does_not_answer_for_images_that_cannot_be_read(
    tmp_path: Path, study_of: StudyOf, finished: Finished, own: Store, said: list[str]
) -> None:
    (record,) = own.studies.glob("*/*/record.json")
    text = finished.study.text.replace("source: phantom", f"source: folder, path: {tmp_path / 'other'}")
    plain = write_record(replace(prepare(finished.study, finished.store), study=study_of(text), store=own))
    shutil.rmtree(record.parent)
    found = stored_workspace(study_of(text), own, said.append)
    assert found.folder == plain.folder
    assert said == [
        "read from the record in the store: the images are not at hand;"
        f" it is of images in {prepare(finished.study, finished.store).inputs.dataset.root}"
    ]
    (tmp_path / "other" / "train").mkdir(parents=True)  # at hand, but without an image
    with pytest.raises(DataError, match="has the classes"):
        stored_workspace(study_of(text), own, said.append)
