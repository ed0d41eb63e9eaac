"""The source of a backbone of the user's own is in the record of a study, and is verified there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.backbone_sources import BACKBONES_FOLDER
from harness.data.record import StudyRecord, write_record
from harness.prepare import prepare
from harness.report.verified.study_inputs import record_items
from harness.report.verified.verified_item import VerifiedItem
from harness.store import Store
from harness.study import Study
from tests.conftest import draw_images

SOURCE = """\
from torch import nn


class Net(nn.Conv2d):
    def __init__(self, image_size):
        super().__init__(3, 4, 3, stride=4)
"""
STUDY = """\
study: own
data: {{source: folder, path: {images}, image_size: 32, positive: B}}
folds: {{k: 2}}
base: {{backbone: "nets:Net", weights: none, head: linear, epochs: 1}}
stages: [{{name: one, grid: {{trainable: [head, all]}}}}]
"""


@pytest.fixture
def record(tmp_path: Path, store: Store, study_of: Callable[..., Study]) -> StudyRecord:
    """The record of a study, of which nothing was trained yet."""
    images = draw_images(tmp_path / "images", {f"train/{label}/{n}.png": n for label in "AB" for n in range(4)})
    (tmp_path / "nets.py").write_text(SOURCE)
    return write_record(prepare(study_of(STUDY.format(images=images)), store))


def about_source(record: StudyRecord, store: Store) -> list[VerifiedItem]:
    """What `verify` says of the source of the backbone."""
    return [item for item in record_items(record, record.workspace(store)) if "the source of nets:Net" in item.words]


def test_the_source_is_in_the_record_whatever_becomes_of_the_file(
    record: StudyRecord, store: Store, tmp_path: Path
) -> None:
    (file,) = (record.folder / BACKBONES_FOLDER).rglob("*.py")
    assert (file.name, file.read_text()) == ("nets.py", SOURCE)
    (tmp_path / "nets.py").write_text(SOURCE.replace("stride=4", "stride=2"))
    (item,) = about_source(record, store)
    assert (item.verdict, Path(item.what).name) == ("holds", "nets.py")
    (tmp_path / "nets.py").unlink()
    assert about_source(record, store) == [item]
    file.write_text(SOURCE.replace("stride=4", "stride=2"))
    (item,) = about_source(record, store)
    assert (item.verdict, item.words) == ("differs", "the source of nets:Net is another one")


def test_a_record_of_an_older_version_is_held_against_the_file_of_today(
    record: StudyRecord, store: Store, tmp_path: Path
) -> None:
    (file,) = (record.folder / BACKBONES_FOLDER).rglob("*.py")
    file.unlink()
    assert [item.verdict for item in about_source(record, store)] == ["holds"]
    (tmp_path / "nets.py").write_text(SOURCE.replace("stride=4", "stride=2"))
    (item,) = about_source(record, store)
    assert (item.verdict, item.words) == ("cannot be checked", "the source of nets:Net is another one here")
