import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.record import records, write_record
from harness.prepare import prepare
from harness.report.write import write_report
from harness.store import Store
from harness.store.seals import SEAL, broken
from harness.study.history import CommandLog, read_commands
from tests.conftest import Finished


@pytest.fixture
def bare(finished: Finished, tmp_path: Path) -> Store:
    """What is left of the small study's store without its images, its cache and MLflow."""
    store = Store(tmp_path / "bare")
    for folder in ("jobs", "studies", "looks"):
        shutil.copytree(finished.store.root / folder, store.root / folder)
    shutil.copy(finished.store.root / "store.json", store.root / "store.json")
    return store


def test_a_record_gives_the_workspace_that_the_images_gave(finished: Finished, bare: Store) -> None:
    (record,) = records(bare)
    found, right = record.workspace(bare), prepare(finished.study, finished.store)
    assert (record.name, record.study_id, found.identity) == ("small", right.identity, right.identity)
    assert (found.images, right.images) == (False, True)
    assert found.study.model_dump() == right.study.model_dump()
    assert (found.study.text, found.study.changed) == (right.study.text, right.study.changed)
    assert found.inputs.dataset.digest == right.inputs.dataset.digest
    assert found.inputs.digests == right.inputs.digests
    assert found.inputs.separation == right.inputs.separation
    assert found.audit == right.audit
    for one, other in zip(found.inputs.folds, right.inputs.folds, strict=True):
        assert (one.train.tolist(), one.validation.tolist()) == (other.train.tolist(), other.validation.tolist())


def test_a_report_from_the_record_has_the_same_numbers(finished: Finished, bare: Store) -> None:
    workspace = records(bare)[0].workspace(bare)
    report = write_report(workspace, workspace.reader.read())
    numbers = [json.loads(path.with_name("statistics.json").read_text()) for path in (report, finished.run.report)]
    for found in numbers:
        for estimate in found["estimates"]:
            estimate["run_id"] = None  # there is no MLflow
    assert numbers[0] == numbers[1]


def test_a_record_is_sealed_and_a_later_run_writes_again_what_was_damaged(finished: Finished, bare: Store) -> None:
    folder = records(bare)[0].folder
    assert broken(folder) == {}
    workspace = replace(prepare(finished.study, finished.store), store=bare)
    write_record(workspace)  # the images are in another place than this store
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for name in ("manifest.parquet", "folds.json", SEAL):
        (folder / name).write_bytes(before[folder / name] + b" ")
        assert broken(folder)
        write_record(workspace)
        assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_command_that_fitted_is_recorded_and_one_that_fits_nothing_is_not(
    finished: Finished, tmp_path: Path
) -> None:
    (command,) = read_commands(records(finished.store)[0].folder)
    assert (command.fits, command.failed, command.device) == (7, 0, "cpu")
    assert command.seconds is not None and "torch" in command.versions
    log = CommandLog(tmp_path, "cpu")
    log.end(0, 0)
    assert read_commands(tmp_path) == ()
    log.begin()
    assert [entry.fits for entry in read_commands(tmp_path)] == [None], "it may be killed now"
    log.end(3, 1)
    assert [(entry.fits, entry.failed) for entry in read_commands(tmp_path)] == [(3, 1)]
    assert broken(tmp_path) == {}


def test_a_report_from_the_record_shows_the_same_pictures(finished: Finished, bare: Store) -> None:
    shutil.copytree(finished.store.pictures, bare.pictures)
    workspace = records(bare)[0].workspace(bare)
    found = write_report(workspace, workspace.reader.read()).parent
    pictures = [path.relative_to(found) for path in sorted(found.glob("thumbnails/*"))]
    assert pictures and {path.suffix for path in pictures} == {".jpg"}
    for path in pictures:
        assert (found / path).read_bytes() == (finished.run.report.parent / path).read_bytes()


def test_where_a_picture_is_gone_the_report_says_so(bare: Store) -> None:
    workspace = records(bare)[0].workspace(bare)
    gone = replace(workspace.inputs.dataset, root=bare.root / "gone")
    workspace = replace(workspace, inputs=replace(workspace.inputs, dataset=gone))
    text = write_report(workspace, workspace.reader.read()).read_text()
    assert "the images are not at hand: there is no folder gone" in text
    assert str(bare.root) not in text
