"""What `plan` prints of folds with few and with many classes."""

from pathlib import Path

import pytest
import yaml

from harness.cli.show.plan import show_plan
from harness.prepare import prepare
from harness.store import Store
from harness.study import load_study
from harness.study.state import StudyState
from harness.training.preflight import Networks
from tests.conftest import draw_images


@pytest.mark.parametrize(
    ("counts", "head", "fold"),
    [
        ({"A": 9, "B": 6}, ["train A", "train B", "val A", "val B"], ["6", "4", "3", "2"]),
        (
            {"A": 9, "B": 6, "C": 3, "D": 3},
            ["train images", "train in a class", "val images", "val in a class"],
            ["14", "2 to 6", "7", "1 to 3"],
        ),
    ],
)
def test_a_line_of_the_folds_stays_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: dict[str, int], head: list[str], fold: list[str]
) -> None:
    names = [f"images/train/{name}/{n}.png" for name, count in counts.items() for n in range(count)]
    draw_images(tmp_path, {name: seed for seed, name in enumerate(names)})
    content = {
        "study": "many", "data": {"source": "folder", "path": str(tmp_path / "images"), "image_size": 32},
        "base": {"backbone": "test_resnet", "weights": "none"}, "stages": [{"name": "one"}],
    }  # fmt: skip
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(content))
    study = load_study(tmp_path / "many.yaml")
    show_plan(prepare(study, Store(tmp_path / "store")), StudyState(()), Networks({}, {}))
    lines = [[cell.strip() for cell in line.split("  ") if cell] for line in capsys.readouterr().out.splitlines()]
    assert ["repeat", "fold", *head] in lines
    assert ["0", "0", *fold] in lines
