"""Images that cannot be used: named before anything is trained, or left out where the study asks for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.audit import audit_study
from harness.data.cached_inputs import cache_inputs
from harness.data.dataset import Dataset
from harness.data.decode import decode
from harness.data.manifest import read_dataset
from harness.data.pixels import pixel_cache
from harness.errors import DataError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from harness.study.data_block import Data
from harness.study.identity import study_id
from tests.conftest import PATIENT, draw_image
from tests.faults.images import KINDS, first_image

BAD = {name: kind for name, kind in KINDS.items() if kind.told}
STUDY = f"""\
study: bad
data: {{source: folder, path: PATH, image_size: 32, patient: '{PATIENT}'}}
folds: {{k: 2}}
base: {{backbone: test_resnet, weights: none}}
stages: [{{name: one}}]
"""


def read(root: Path, on_bad_image: str = "error") -> Dataset:
    return read_dataset(
        root, Data.model_validate({"source": "folder", "patient": PATIENT, "on_bad_image": on_bad_image})
    )


@pytest.fixture
def study(study_of: Callable[..., Study], image_folder: Path) -> Study:
    return study_of(STUDY.replace("PATH", str(image_folder)), "data.on_bad_image=skip")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_named_with_its_reason_and_nothing_is_written(
    image_folder: Path, tmp_path: Path, name: str
) -> None:
    image = first_image(image_folder)
    BAD[name].spoil(image)
    with pytest.raises(DataError) as refused:
        pixel_cache(read(image_folder), 32, Store(tmp_path / "st"))
    assert str(refused.value).startswith(f"1 of 28 images cannot be read: {image} (")
    assert BAD[name].told in str(refused.value)
    assert str(refused.value).endswith("); mend or remove them, or leave them out with data: {on_bad_image: skip}")
    assert not (tmp_path / "st").exists()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_left_out_where_the_study_asks_for_it(image_folder: Path, tmp_path: Path, name: str) -> None:
    image = first_image(image_folder)
    BAD[name].spoil(image)
    dataset = read(image_folder, "skip")
    assert dataset.skipped is not None
    inside = image.relative_to(image_folder).as_posix()
    ((named, why),) = dataset.skipped.reasons.items()
    assert (named, len(dataset.table)) == (inside, 27)
    assert BAD[name].told in why
    assert inside not in set(dataset.table["image"])
    pixel_cache(dataset, 32, Store(tmp_path / "st"))
    image.unlink()
    assert read(image_folder).digest == dataset.digest  # as if it had never been there


@pytest.mark.parametrize("name", [name for name in KINDS if name not in BAD])
def test_inks_and_sixteen_bits_are_converted(image_folder: Path, name: str) -> None:
    image = first_image(image_folder)
    before = decode(image, 32)
    KINDS[name].spoil(image)
    assert Image.open(image).mode in ("CMYK", "I;16", "I")
    np.testing.assert_array_equal(decode(image, 32), before)


def test_an_image_that_changes_after_it_was_found_is_refused_also_where_bad_ones_are_skipped(
    image_folder: Path, tmp_path: Path
) -> None:
    dataset = read(image_folder, "skip")
    draw_image(first_image(image_folder), seed=999)
    with pytest.raises(DataError, match=r"1 of 28 images .*trA0-0\.png \(it has changed since the command started\)"):
        pixel_cache(dataset, 32, Store(tmp_path / "st"))
    assert not (tmp_path / "st").exists()


def test_links_within_the_images_and_class_folders_that_are_links_are_followed(
    image_folder: Path, tmp_path: Path
) -> None:
    (image_folder / "train/B").rename(tmp_path / "elsewhere")
    (image_folder / "train/B").symlink_to(tmp_path / "elsewhere")
    (image_folder / "train/A/link-0.png").symlink_to(first_image(image_folder))
    (tmp_path / "elsewhere/link-1.png").symlink_to("trB0-0.png")
    assert len(read(image_folder).table) == 30


@pytest.mark.parametrize(
    ("target", "told"),
    [("nowhere.png", "not a file"), ("link-0.png", ""), ("../../../outside", "a link out of the image folder")],
    ids=["to nothing", "to itself", "of a folder"],
)
def test_other_links_are_named(image_folder: Path, tmp_path: Path, target: str, told: str) -> None:
    draw_image(tmp_path / "outside/x-0.png", 5)
    (image_folder / "train/A/link-0.png").symlink_to(target)
    with pytest.raises(DataError, match=rf"1 of 29 images cannot be read: .*/link-0\.png \(.*{told}"):
        read(image_folder)


def test_a_class_of_which_nothing_can_be_read_is_refused(image_folder: Path) -> None:
    for image in (image_folder / "test/B").iterdir():
        image.write_text("no image")
    with pytest.raises(DataError, match="no image of class B in test/ can be read"):
        read(image_folder, "skip")


def test_a_program_is_no_image(image_folder: Path) -> None:
    image = first_image(image_folder)
    image.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    (image_folder / "train/A/program.eps").write_bytes(image.read_bytes())
    dataset = read(image_folder, "skip")
    assert dataset.skipped is not None
    assert dict(dataset.skipped.reasons) == {"train/A/trA0-0.png": "not an image that Pillow reads"}


def test_what_was_found_bad_is_kept_and_looked_at_again_once_a_file_changes(
    study: Study, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, image = Store(tmp_path / "st"), first_image(image_folder)
    image.write_text("no image")
    workspace = prepare(study, store)
    inputs = workspace.inputs
    assert not store.root.exists()
    cache_inputs(workspace)
    with monkeypatch.context() as patch:
        patch.setattr("harness.data.source_images.decoded", lambda *_, **__: pytest.fail("decoded again"))
        assert prepare(study, store).inputs.dataset.skipped == inputs.dataset.skipped
    draw_image(image, seed=999)
    again = prepare(study, store).inputs.dataset
    assert again.skipped is not None
    assert (dict(again.skipped.reasons), len(again.table)) == ({}, 28)


def test_the_audit_counts_and_names_what_is_left_out(study: Study, image_folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "st")
    inputs = prepare(study, store).inputs
    assert audit_study(study, inputs.dataset, inputs.folds, store).named("bad-images") == []
    first_image(image_folder).write_text("no image")
    inputs = prepare(study, store).inputs
    (finding,) = audit_study(study, inputs.dataset, inputs.folds, store).named("bad-images")
    assert finding.severity == "warning"
    assert "1 of 28 images cannot be read: train/A/trA0-0.png (" in finding.text
    assert finding.facts["count"] == 1
    first_image(image_folder).unlink()
    inputs = prepare(study, store).inputs  # the same manifest
    assert audit_study(study, inputs.dataset, inputs.folds, store).named("bad-images") == []


def test_that_bad_images_may_be_skipped_changes_no_id_and_which_were_does(study: Study, image_folder: Path) -> None:
    store = Store(image_folder.parent / "st")
    strict = study.model_copy(update={"data": study.data.model_copy(update={"on_bad_image": "error"})})
    one = study_id(study, prepare(study, store).inputs.digests)
    assert study_id(strict, prepare(strict, store).inputs.digests) == one
    first_image(image_folder).write_text("no image")
    without = study_id(study, prepare(study, store).inputs.digests)
    assert without != one
    first_image(image_folder).unlink()
    assert study_id(strict, prepare(strict, store).inputs.digests) == without
