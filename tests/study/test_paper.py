from pathlib import Path

import numpy as np
import pytest

from harness.errors import StudyError
from harness.study.paper import load_published
from tests.conftest import ROOT

PAPER = (ROOT / "studies" / "published" / "pneumonia-paper.yaml").read_text()


def load(tmp_path: Path, text: str) -> object:
    (tmp_path / "paper.yaml").write_text(text)
    return load_published(tmp_path / "paper.yaml")


@pytest.mark.parametrize(
    ("given", "instead", "message"),
    [
        ('value: "0.87"', "value: 0.87", r"paper\.yaml:\d+: models\[1\]\.printed\[0\]\.value: 0.87 is given"),
        ('value: "0.87"', 'value: "87 %"', "with all its digits"),
        ("correct: {NORMAL: 201,", "correct: {NORMAL: 235,", r"correct\.NORMAL: 235 of 234 images cannot be right"),
        ("correct: {NORMAL: 201,", "corect: {NORMAL: 201,", "unknown key 'corect'; did you mean correct"),
        ("metric: recall, class: PNEUMONIA,", "metric: recall,", "recall is of one class"),
        ("metric: recall, class: PNEUMONIA,", "metric: recall, class: NORMA,", "did you mean NORMAL"),
        ("worse: VGG16 (Ayan et al. 2019)", "worse: VGG", r"comparisons\[0\]\.worse: unknown model 'VGG'"),
        ("positive: PNEUMONIA", "positive: COVID", "unknown class 'COVID'"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(tmp_path: Path, given: str, instead: str, message: str) -> None:
    assert given in PAPER
    with pytest.raises(StudyError, match=message):
        load(tmp_path, PAPER.replace(given, instead, 1))


def test_of_two_classes_the_matrix_follows_from_the_correct_images() -> None:
    published = load_published(ROOT / "studies" / "published" / "pneumonia-paper.yaml")
    np.testing.assert_array_equal(published.matrix(published.models[0]), [[183, 51], [18, 372]])


def test_three_classes_need_the_whole_matrix_and_its_rows_must_sum(tmp_path: Path) -> None:
    head = "paper: p\ntitle: t\nauthors: a\nsource: s\ntest: {a: 4, b: 3, c: 2}\nmodels:\n  - name: m\n    where: w\n"
    whole = "    confusion: {a: {a: 3, b: 1}, b: {b: 3}, c: {a: 1, c: 1}}\n"
    load(tmp_path, head + whole)
    with pytest.raises(StudyError, match=r"confusion\.a: the row sums to 5; the test set has 4"):
        load(tmp_path, head + whole.replace("a: 3, b: 1", "a: 3, b: 2"))
    with pytest.raises(StudyError, match="the whole `confusion` matrix is needed"):
        load(tmp_path, head + "    correct: {a: 1, b: 1, c: 1}\n")
