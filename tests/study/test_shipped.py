from pathlib import Path

import pytest

from harness.errors import StudyError
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
