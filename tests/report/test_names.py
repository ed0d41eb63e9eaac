"""Names of users in figures and tables."""

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from harness.report.figures.drawing import MAX_CLASS_NAME, MAX_TITLE_LINES, named, row_labels, titled, words_figure
from harness.report.figures.search_figures import slice_figure
from harness.report.tables.export import markdown


@pytest.mark.parametrize(
    "text",
    [
        "test_resnet",
        "_a_",
        "**b**",
        "<b>",
        "< 0.001",
        "a|b",
        "`c`",
        "[x](y)",
        "![x](y)",
        "&amp; &",
        "\\d",
        "<http://x>",
    ],
)
def test_a_cell_shows_every_character(text: str) -> None:
    page = MarkdownIt("commonmark", {"html": False}).enable("table")
    shown = re.search("<td[^>]*>(.*)</td>", page.render("\n".join(markdown(pd.DataFrame({"class": [text]})))))
    assert shown is not None
    assert html.unescape(shown[1]) == text


def test_a_plain_name_is_written_as_it_is() -> None:
    assert list(markdown(pd.DataFrame({"val/roc_auc": ["batchnorm-gap, lr_0.1"]})))[::2] == [
        "| val/roc_auc |",
        "| batchnorm-gap, lr_0.1 |",
    ]


def test_names_and_titles_in_figures_are_of_a_size() -> None:
    long = "first " + "x" * 300 + " last"
    assert len(named(long)) == MAX_CLASS_NAME
    assert named(long).startswith("first ")
    assert named(long).endswith(" last")
    assert named("a\nb\x1b") == "a b"
    assert named("_rest") == " _rest", "a legend leaves out what begins with an underscore"
    assert titled(long, 40).count("\n") < MAX_TITLE_LINES


@pytest.mark.figures
def test_names_beside_rows_take_two_lines_and_their_room() -> None:
    assert row_labels(["resnet50 + linear + none"]) == (["resnet50 + linear + none"], 0, 1)
    long = "tf_efficientnet_lite0 (weights=tf_efficientnet_lite0.safetensors) + dropout-gap + random"
    (short, label), wider, higher = row_labels(["resnet50", long])
    assert (short, label.split()) == ("resnet50", long.split())
    assert len(label.split("\n")) == 2
    assert wider > 0
    assert higher > 1
    (cut,), _, _ = row_labels(["x" * 1000])
    assert len(cut.split("\n")) <= 2


def test_a_dollar_is_no_mathematics(tmp_path: Path) -> None:
    words_figure("from 5$ to 10$ ^_^ {", "over $20$ \\frac", tmp_path / "words.png")
    drawn = (tmp_path / "words.svg").read_text(encoding="utf-8")
    assert "from 5$ to 10$ ^_^ {" in drawn
    assert "over $20$ \\frac" in drawn


@pytest.mark.figures
def test_a_logarithmic_axis_has_plain_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr("harness.report.figures.search_figures.save", lambda figure, *_, **__: figures.append(figure))
    trials = pd.DataFrame({"trial": [0, 1], "state": "complete", "value": [0.5, 0.6], "rate": [1e-4, 1e-2]})
    slice_figure(trials, {"rate": True}, "val/accuracy", tmp_path / "slice.png")
    figures[0].canvas.draw()
    labels = [label.get_text() for label in figures[0].axes[0].get_xticklabels()]
    assert "1e\N{MINUS SIGN}03" in labels
    assert not any("$" in label for label in labels)
