from pathlib import Path

import pytest

from harness.cli.options import find_workspace
from harness.data.record import write_record
from harness.errors import StudyError
from harness.store import Store
from harness.study import load_study
from harness.study.shipped import shipped_studies, study_path
from tests.conftest import ROOT, SMALL_STUDY


def test_a_shipped_study_is_found_by_its_name_and_a_file_of_that_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(shipped_studies()) == {file.stem for file in (ROOT / "studies").glob("*.yaml")} >= {"quickstart"}
    assert load_study(Path("quickstart")).text == (ROOT / "studies" / "quickstart.yaml").read_text(encoding="utf-8")
    for given in ("quickstart.yaml", "./quickstart.yaml", "folder/quickstart", "quickstar"):
        assert study_path(Path(given)) in (Path(given), Path("quickstart.yaml"))
    with pytest.raises(StudyError, match=r"^quickstar: no such study file"):
        load_study(Path("quickstar"))
    Path("quickstart").write_text(SMALL_STUDY)
    assert load_study(Path("quickstart")).study == "small"


def test_a_command_that_reads_finds_a_shipped_study_and_one_of_the_store_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small, store = ["data.phantom={train: 48, test: 12}", "data.image_size=32"], Store(tmp_path / "store")
    with pytest.raises(StudyError, match="nothing was run in"):
        find_workspace(Path("quickstart"), None, small, store)
    assert not store.root.exists(), "no image is drawn for it"
    store.root.mkdir()
    shipped = find_workspace(Path("quickstart"), None, small, store)
    assert len(shipped.inputs.dataset.table) == 60
    write_record(shipped)
    stored = find_workspace(Path("quickstart"), None, None, store)
    assert (stored.identity, stored.images) == (shipped.identity, False), "its record, not the file"
    assert capsys.readouterr().err == "", "it is no variant of the file"
    asked = find_workspace(Path("quickstart"), None, small, store)
    assert (asked.identity, asked.images) == (shipped.identity, True), "with options it is the file"
