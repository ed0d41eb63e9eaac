import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.store import Store
from tests.bench import FIGURES
from tests.bench.figure import Bench
from tests.bench.results import Measured, show_bench
from tests.bench.run import bench_in, chosen, run_bench

GOOD = """\
from tests.bench.figure import Goal, Row

def measure(bench):
    assert (bench.data / "train").is_dir()
    (bench.folder / "large").write_text("x")
    return [Row("good figure", 2.5, "the exact work", Goal(">=", 5), 3, 2.0, 3.0, {"over_s": [1.0]})]
"""
BAD = """\
from tests.bench.figure import Row

def measure(bench):
    yield Row("first", 1.0, "measured before it broke down")
    raise RuntimeError("out of memory")
"""
GONE = """\
import os

def measure(bench):
    os._exit(7)
"""
SLOW = """\
import time
from tests.bench.figure import Row

def measure(bench):
    yield Row("first", 1.0, "measured in time")
    time.sleep(600)
"""


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures beside the real ones: `good` is measured, `bad` and `gone` break down, `slow` never ends."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    for name, text in (("good", GOOD), ("bad", BAD), ("gone", GONE), ("slow", SLOW)):
        (folder / f"figure_{name}.py").write_text(text)
        monkeypatch.setitem(FIGURES, name, f"figure_{name}")


@pytest.fixture
def bench(image_folder: Path, tmp_path: Path) -> Iterator[Bench]:
    with bench_in(Store(tmp_path / "st"), image_folder, None, True, images=8) as found:
        yield found


@pytest.mark.long
@pytest.mark.usefixtures("figures")
def test_a_figure_that_breaks_down_leaves_the_others(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = Measured({"images": bench.data.name}, tmp_path / "out" / "now.json")
    for row in run_bench(bench, ["bad", "gone", "good"], measured):
        stored = json.loads(measured.file.read_text())["rows"]
        assert stored[-1]["name"] == row.name, "each row is written at once"
    assert [(row.name, row.value, row.verdict) for row in measured.rows] == [
        ("first", 1.0, ""), ("bad", None, "broke down"), ("gone", None, "broke down"),
        ("good figure", 2.5, "missed by x2.00"),
    ]  # fmt: skip
    assert [row.name for row in measured.broken] == ["bad", "gone"]
    assert stored[1]["work"] == "RuntimeError: out of memory"
    assert "figure_bad.py" in stored[1]["error"]
    assert stored[2]["work"] == "its process ended with 7"
    assert stored[3]["parts"] == {"over_s": [1.0]}
    assert [row["after_s"] for row in stored] == sorted(row["after_s"] for row in stored)
    table = measured.file.with_suffix(".md").read_text()
    assert "| good figure | 2.5 | 2 to 3 | 3 | >= 5 | missed by x2.00 |" in table
    assert "- images: images" in table
    show_bench(measured)
    shown = capsys.readouterr().out
    assert "missed by x2.00" in shown
    assert "good figure: the exact work" in shown


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_a_bench_ends_when_its_time_is_over(bench: Bench, tmp_path: Path) -> None:
    measured = Measured({}, tmp_path / "now.json")
    until = time.monotonic() + 8
    rows = list(run_bench(bench, ["slow", "good"], measured, until))
    assert [(row.name, row.value, row.verdict) for row in rows[-2:]] == [
        ("slow", None, "not measured"), ("good", None, "not measured"),
    ]  # fmt: skip
    assert "was over" in rows[-1].work
    assert measured.broken == []


def test_a_group_of_figures_is_chosen_by_its_name() -> None:
    assert chosen([]) == list(FIGURES)
    assert chosen(["grid"]) == ["grid"]
    assert chosen(["gpu"]) == [name for name in FIGURES if name.startswith("gpu-")]
    assert chosen(["gpu-rival", "decode"]) == ["decode", "gpu-rival"]
    with pytest.raises(HarnessError, match="did you mean grid"):
        chosen(["grit"])


def test_what_cannot_be_measured_is_refused_before_anything_is_written(image_folder: Path, tmp_path: Path) -> None:
    unnamed = tmp_path / "weights.safetensors"
    unnamed.touch()
    for data, weights, words in (
        (tmp_path / "nothing", None, "train/CLASS"),
        (image_folder, unnamed, "named after its timm backbone"),
    ):
        with pytest.raises(HarnessError, match=words), bench_in(Store(tmp_path / "st"), data, weights, True, images=8):
            raise AssertionError("it was accepted")
    assert not (tmp_path / "st").exists()
