"""A suite file becomes a study for each data set; what is wrong in it is said with the line of the suite file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.study import load_study
from harness.study.suite_file import Suite, load_suite
from tests.conftest import ROOT

TEXT = """\
suite: three
description: words
datasets:
  a: {data: {source: folder, path: images/a, image_size: 32}}
  b:
    get: ask b's authors
    data: {source: phantom, phantom: {kind: faint}}
    folds: {k: 4}
    unit: patient
folds: {k: 3, seed: 5}
base: {backbone: test_resnet, weights: none, epochs: 2}
stages: [{name: heads, grid: {head: [logistic, knn]}, select: {metric: val/accuracy}}]
"""
Load = Callable[..., Suite]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str, *overrides: str, **paths: str) -> Suite:
        file = tmp_path / "three.yaml"
        file.write_text(text)
        return load_suite(file, overrides, paths)

    return load_text


SUITE = TEXT.replace("epochs: 2", "epochs: 2, trainable: head")


def test_each_data_set_is_a_study_of_the_shared_grid(load: Load, tmp_path: Path) -> None:
    suite = load(SUITE, "base.epochs=3")
    a, b = (each.study for each in suite.data_sets)
    assert (a.study, b.study, suite.data_sets[1].get) == ("three.a", "three.b", "ask b's authors")
    assert a.data.path == str(tmp_path / "images" / "a"), "paths start at the folder of the suite file"
    assert (a.folds.k, a.folds.seed, b.folds.k, b.folds.seed) == (3, 5, 4, 5)
    assert (a.unit, b.unit, b.data.phantom.kind) == ("image", "patient", "faint")
    assert a.stages == b.stages
    assert a.base.epochs == b.base.epochs == 3
    assert a.changed == {"base.epochs": (2, 3)}
    assert [each.name for each in suite.only(["b"]).data_sets] == ["b"]


def test_the_study_of_a_data_set_is_that_of_a_file_with_its_text(load: Load, tmp_path: Path) -> None:
    study = load(SUITE).data_sets[1].study
    file = tmp_path / "alone.yaml"
    file.write_text(study.text)
    assert load_study(file).model_dump(exclude={"data"}) == study.model_dump(exclude={"data"})
    assert load_study(file).data == study.data


def test_the_path_of_the_command_line_is_that_of_the_current_folder(load: Load, tmp_path: Path) -> None:
    suite = load(SUITE, a=str(tmp_path / "elsewhere"))
    assert suite.data_sets[0].study.data.path == str(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("suite: three", "study: three", "three.yaml:1: a suite is a mapping that starts with `suite: NAME`"),
        ("suite: three", "suite: thr/ee", "three.yaml:1: suite: 'thr/ee' is given"),
        ("folds: {k: 3", "fold: {k: 3", "three.yaml:10: fold: unknown key of a suite 'fold'; did you mean folds"),
        ("folds: {k: 4}", "fold: {k: 4}", "three.yaml:8: datasets.b.fold: unknown key of a data set 'fold'"),
        ("folds: {k: 4}", "folds: {k: 1}", "three.yaml:8: folds.k: 1 is given"),
        ("epochs: 2", "epoch: 2", "three.yaml:11: base.epoch: unknown key 'epoch'; did you mean epochs or"),
        ("source: folder", "source: folders", "three.yaml:4: data.source: folders is given; allowed: folder, table"),
        (
            "    data: {source: phantom, phantom: {kind: faint}}\n",
            "",
            "three.yaml:5: datasets.b: a data set is a mapping",
        ),
    ],
)
def test_a_mistake_names_the_line_of_the_suite_file(load: Load, before: str, after: str, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        load(SUITE.replace(before, after))
    assert words in str(caught.value)


def test_names_that_are_not_there_are_refused(load: Load) -> None:
    with pytest.raises(StudyError, match="--only c: unknown data set 'c'; allowed: a, b"):
        load(SUITE).only(["c"])
    with pytest.raises(StudyError, match=r"--data c=\.\.\.: unknown data set 'c'; allowed: a, b"):
        load(SUITE, c="x")


def test_a_suite_is_no_study(tmp_path: Path) -> None:
    file = tmp_path / "three.yaml"
    file.write_text(SUITE)
    with pytest.raises(StudyError, match="this is a suite, a study of several data sets; run it by: harness suite"):
        load_study(file)


def test_the_shipped_suites_can_be_read() -> None:
    files = sorted((ROOT / "studies").glob("suite-*.yaml"))
    assert [load_suite(file).name for file in files] == [file.stem for file in files] == ["suite-small"]
    assert load_suite(Path("suite-small")).path == files[0]
