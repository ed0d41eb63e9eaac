import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from harness.report.figures.class_curves import MAX_CURVES, draw_roc
from harness.report.figures.confusion import draw_confusion
from harness.report.figures.intervals import draw_scenario_intervals
from harness.report.figures.scenario_figures import prediction_figures
from harness.report.numbers.records import Estimate
from harness.report.page import write_page
from harness.report.tables.confused import (
    MAX_CLASSES,
    class_lines,
    confused_pairs,
    interval_lines,
    many_note,
    most_confused,
    pair_lines,
)
from harness.report.tables.scenario_tables import confusion_table

MAX_PAGE_BYTES = 6_000_000
MIN_LETTER_PIXELS = 9  # of a letter, in a figure as wide as the page shows it
COLUMN_PIXELS = 488  # of two figures next to each other, in a page of 1280 px
PIXELS_A_POINT = 4 / 3


def predictions(classes: int, each: int, seed: int = 0) -> pd.DataFrame:
    """Random predictions of classes with long names; class 3 is always called class 4."""
    rng, number = np.random.default_rng(seed), np.repeat(np.arange(classes), each)
    names = [f"class {n:03}, a chronic disease of the upper respiratory tract" for n in range(classes)]
    p = rng.dirichlet(np.ones(classes) / 4, len(number))
    p[number == 3] *= 0.1
    p[number == 3, 4] += 0.9
    images = [f"train/{n}.png" for n in range(len(number))]
    columns = {f"prob_{name}": p[:, n] for n, name in enumerate(names)}
    given = {"image": images, "patient": images, "label": [names[n] for n in number], "repeat": 0}
    return pd.DataFrame(given | columns)


MANY, TEN = predictions(150, 4), predictions(10, 30)


@pytest.mark.figures
def test_the_page_of_150_classes_is_small_and_says_where_the_rest_is(tmp_path: Path) -> None:
    figures = prediction_figures(MANY, None, "out of fold", tmp_path, "oof-{}-x", vector=True)
    lines = [
        *(f"![{path.stem}]({path.name})" for path in figures),
        "",
        *many_note(150, "oof", "x", MAX_CURVES),
        *pair_lines(MANY, None, tmp_path, "oof", "x"),
        *class_lines(MANY, None, tmp_path, "oof-classes-x"),
    ]
    (tmp_path / "report.md").write_text("\n".join(lines))
    assert write_page(tmp_path).stat().st_size < MAX_PAGE_BYTES / 10, "a report has some of these sections"
    for path in figures:
        assert path.with_suffix(".svg").stat().st_size < 100_000
    assert sum(line.startswith("| class ") for line in lines) == 10 + MAX_CLASSES + 1
    for name in re.findall(r"[\w-]+\.csv", "\n".join(lines)):
        assert (tmp_path / name).exists()
    assert pd.read_csv(tmp_path / "oof-confusion-x.csv", index_col=0).shape == (150, 150)
    assert len(pd.read_csv(tmp_path / "oof-classes-x.csv")) == 150


@pytest.mark.figures
@pytest.mark.parametrize("classes", [10, 150])
def test_the_letters_of_the_figures_can_be_read(tmp_path: Path, classes: int) -> None:
    frame = TEN if classes == 10 else MANY
    for path in prediction_figures(frame, None, "out of fold", tmp_path, vector=True):
        svg = path.with_suffix(".svg").read_text()
        width = float(re.findall(r'width="([\d.]+)pt"', svg)[0]) * PIXELS_A_POINT
        sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", svg)]
        room = COLUMN_PIXELS if width < 480 else 2 * COLUMN_PIXELS
        assert sizes
        assert min(sizes) * PIXELS_A_POINT * min(1, room / width) >= MIN_LETTER_PIXELS, path.stem
        assert width < 1000, path.stem


def test_the_matrix_of_many_classes_has_the_most_confused_ones_and_complete_rows() -> None:
    table = confusion_table(MANY)
    shown = most_confused(table)
    assert len(shown) == MAX_CLASSES
    assert {name[:9] for name in shown} >= {"class 003", "class 004"}
    axes = draw_confusion(MANY, "title").axes[0]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert columns[-1] == f"{150 - MAX_CLASSES} others"
    counts = [int(text.get_text()) for text in axes.texts]
    assert sum(counts) == 4 * MAX_CLASSES, "each row has all images of its class"
    assert most_confused(confusion_table(TEN)) == confusion_table(TEN).index.tolist()
    plt.close("all")


def test_the_most_frequent_confusion_comes_first() -> None:
    first = confused_pairs(MANY).iloc[0]
    assert (first["true"][:9], first["predicted"][:9]) == ("class 003", "class 004")
    assert (first["count"], first["share of the true class"]) == (4, 1)


def test_of_many_classes_the_curves_with_the_smallest_area_are_drawn() -> None:
    few, many = draw_roc(TEN, None, "title"), draw_roc(MANY, None, "title")
    assert [len(figure.legends[0].get_texts()) for figure in (few, many)] == [10, MAX_CURVES]
    assert [len(figure.axes[0].collections) for figure in (few, many)] == [0, 1], "the range of all"
    plt.close("all")


def estimates(classes: int) -> list[Estimate]:
    """Accuracy and the area of each class of two scenarios; class 7 has the smallest."""
    return [
        Estimate(subject=name, on="out of fold", metric=metric, of_class=of_class, value=value, low=0.1, high=0.9)
        for name in "ab"
        for metric, of_class, value in [
            ("accuracy", None, 0.8),
            *(("roc_auc", f"class {n}", 0.2 if n == 7 else 0.5 + n / 1000) for n in range(classes)),
        ]
    ]


def test_intervals_of_many_classes_are_those_of_the_worst(tmp_path: Path) -> None:
    labels = [axes.get_xlabel() for axes in draw_scenario_intervals(estimates(10), ["a", "b"], "title").axes]
    assert labels == ["accuracy", "roc_auc, class 0", "roc_auc, class 1", "roc_auc, class 7"]
    lines = interval_lines(estimates(150)[:151], tmp_path, "intervals")
    assert sum(line.startswith("| a") for line in lines) == 1
    assert "150 classes: intervals.csv" in lines[-2]
    assert len(pd.read_csv(tmp_path / "intervals.csv")) == 151
    assert len(interval_lines(estimates(3)[:4], tmp_path, "few")) == 4 + 2 + 1
    plt.close("all")
