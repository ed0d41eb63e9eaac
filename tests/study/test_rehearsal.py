"""A run that does less than its study file says."""

from collections.abc import Callable

import pytest

from harness.study import Study
from harness.study.rehearsal import rehearsal, with_trials

TEXT = """\
study: whole
data: {source: phantom, phantom: {train: 48, test: 24}}
folds: {k: 3, repeats: 2}
base: {backbone: test_resnet, weights: none, learning_rate: 1.0e-3}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap]}
  - name: epochs
    grid: {epochs: [5, 20]}
search:
  space: {dropout: {low: 0.1, high: 0.5}, epochs: {low: 10, high: 30}}
  trials: 20
  confirm: {}
"""
StudyOf = Callable[..., Study]


@pytest.mark.parametrize(
    ("override", "less"),
    [
        ("base.epochs=14", "base.epochs 14 of 15"),  # the default of a field that the file lacks
        ("folds.k=2", "folds.k 2 of 3"),
        ("folds.repeats=1", "folds.repeats 1 of 2"),
        ("folds={k: 3}", "folds.repeats 1 of 2"),
        ("data.limit=40", "data.limit 40"),
        ("data.phantom.train=40", "data.phantom.train 40 of 48"),
        ("stages.1.grid.epochs=[5, 10]", "stages[1].grid.epochs 10 of 20"),
        ("stages.0.grid={epochs: [2]}", "stages[0].grid.epochs 2 of 15"),
        ("search.trials=3", "search.trials 3 of 20"),
        ("search.space.epochs.high=20", "search.space.epochs 20 of 30"),
        ("search.confirm.repeats=2", "search.confirm.repeats 2 of 5"),
    ],
)
def test_less_than_the_file_says_is_a_rehearsal(study_of: StudyOf, override: str, less: str) -> None:
    assert rehearsal(study_of(TEXT, override)) == [less]


@pytest.mark.parametrize(
    "override",
    ["base.epochs=15", "base.epochs=30", "folds.k=5", "search.trials=40", "base.dropout=0.1", "data.image_size=32"],
)
def test_as_much_or_more_or_other_settings_are_none(study_of: StudyOf, override: str) -> None:
    assert rehearsal(study_of(TEXT, override)) == []


def test_fewer_refits_are_a_rehearsal(study_of: StudyOf) -> None:
    refits = "test: {stages: [heads], scenarios: all, refits: 5}\n"
    text = TEXT + refits
    assert rehearsal(study_of(text, "test.refits=1")) == ["test.refits 1 of 5"]
    assert rehearsal(study_of(text, "test.refits=6")) == []


def test_a_limit_in_the_file_is_a_rehearsal_too(study_of: StudyOf) -> None:
    text = TEXT.replace("source: phantom,", "source: phantom, limit: 30,")
    assert rehearsal(study_of(text)) == ["data.limit 30"]
    assert rehearsal(study_of(text, "data.limit=null")) == []


def test_the_option_trials_counts_like_an_override(study_of: StudyOf) -> None:
    assert rehearsal(with_trials(study_of(TEXT), 2)) == ["search.trials 2 of 20"]
    assert rehearsal(with_trials(study_of(TEXT, "search.trials=10"), 12)) == ["search.trials 12 of 20"]
    grid = "{sampler: grid, space: {dropout: {choices: [0.1, 0.2, 0.3]}}}"
    less = ["search.space.epochs 15 of 30", "search.trials 2 of 20"]
    assert rehearsal(with_trials(study_of(TEXT, f"search={grid}"), 2)) == less
    whole = study_of(TEXT[: TEXT.index("search:")] + f"search: {grid}\n")
    assert rehearsal(with_trials(whole, 2)) == ["search.trials 2 of 3"]
    assert rehearsal(with_trials(whole, 3)) == []
