import json
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.store import Store
from tests.bench import FIGURES
from tests.bench.run import run_bench, show_bench

GOOD = """\
from tests.bench.figure import Goal, Row

def measure(bench):
    assert (bench.data / "train").is_dir()
    (bench.folder / "large").write_text("x")
    return [Row("good figure", 2.5, "the exact work", Goal(">=", 5), 3, 2.0, 3.0, {"over_s": [1.0]})]
"""
BAD = """\
def measure(bench):
    raise RuntimeError("out of memory")
"""


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two figures in place of the real ones: `good` is measured, `bad` breaks down."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    for name, text in (("good", GOOD), ("bad", BAD)):
        (folder / f"figure_{name}.py").write_text(text)
        monkeypatch.setitem(FIGURES, name, f"figure_{name}")


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_a_figure_that_breaks_down_leaves_the_others(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = run_bench(Store(tmp_path / "st"), image_folder, None, ["bad", "good"], True, lambda _: None)
    assert [(row.name, row.value, row.verdict) for row in measured.rows] == [
        ("bad", None, "not measured"), ("good figure", 2.5, "missed by x2.00"),
    ]  # fmt: skip
    assert measured.broken == ["bad"]
    stored = json.loads(measured.file.read_text())
    assert stored["rows"][0]["work"] == "RuntimeError: out of memory"
    assert stored["rows"][1]["parts"] == {"over_s": [1.0]}
    assert stored["head"]["images"] == image_folder.name
    assert [path.name for path in (tmp_path / "st" / "bench").iterdir()] == [measured.file.name]
    show_bench(measured)
    shown = capsys.readouterr().out
    assert "missed by x2.00" in shown
    assert "good figure: the exact work" in shown


def test_what_cannot_be_measured_is_refused_before_anything_is_written(image_folder: Path, tmp_path: Path) -> None:
    unnamed = tmp_path / "weights.safetensors"
    unnamed.touch()
    for data, weights, only, words in (
        (image_folder, None, ["grit"], "did you mean grid"),
        (tmp_path / "nothing", None, [], "train/CLASS"),
        (image_folder, unnamed, [], "named after its timm backbone"),
    ):
        with pytest.raises(HarnessError, match=words):
            run_bench(Store(tmp_path / "st"), data, weights, only, True, lambda _: None)
    assert not (tmp_path / "st").exists()
