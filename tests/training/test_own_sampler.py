"""Samplers of the user's own: they draw from the training images of a fold, or are refused by the plan."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import HarnessError, StudyError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from harness.training.own_sampler import resampled, try_sampler
from harness.training.preflight import check_networks, check_own_parts
from tests.conftest import run_in, small_study_beside

SAMPLER = """\
import numpy as np


class AtMost:
    def __init__(self, random_state):
        self.rng = np.random.default_rng(random_state)

    def fit_resample(self, X, y):
        least = np.bincount(y).min()
        drawn = [self.rng.choice(np.flatnonzero(y == c), least, replace=False) for c in np.unique(y)]
        chosen = np.concatenate(drawn)
        return X[chosen], y[chosen]
"""
NAME = "my_samplers:AtMost"
LABELS = np.array([0] * 9 + [1] * 4)
StudyWith = Callable[..., Study]


@pytest.fixture
def study_with(tmp_path: Path) -> StudyWith:
    """Gives a small study of a frozen backbone next to my_samplers.py, with `KEY=VALUE` overrides."""
    grid = f"stages=[{{name: a, grid: {{oversampling: [none, '{NAME}']}}}}]"
    overrides = ("test=null", "base.trainable=head", "base.epochs=1", grid)
    return lambda source, *more: small_study_beside(tmp_path / "my_samplers.py", source, *overrides, *more)


def test_it_gets_positions_and_gives_rows_of_the_manifest() -> None:
    rows = np.arange(100, 113)
    found = resampled(rows, LABELS, NAME, SAMPLER, seed=3)
    assert len(found) == 8 and {*found} <= {*rows} and np.bincount(LABELS[found - 100]).tolist() == [4, 4]
    assert not np.array_equal(found, resampled(rows, LABELS, NAME, SAMPLER, seed=4))


@pytest.mark.slow
def test_fits_learn_from_what_it_draws_and_its_source_is_part_of_their_ids(study_with: StudyWith, store: Store) -> None:
    run = run_in(study_with(SAMPLER), store).run
    assert run.failed == 0
    plain, drawn = run.state.stages[0].scenarios
    for record in drawn.records.values():
        least = min(record.class_counts["before"].values())
        assert set(record.class_counts["after"].values()) == {least}
    assert all(r.class_counts["after"] == r.class_counts["before"] for r in plain.records.values())
    assert prepare(study_with(SAMPLER), store).reader.read().finished
    changed = prepare(study_with(SAMPLER + "# changed\n"), store).reader.read()
    assert [s.finished for s in changed.scenarios] == [True, False]
    assert "sampler of the user's own" in next(store.reports.rglob("report.md")).read_text()


REFUSED = [
    ("random_state):", "):", "TypeError"),
    ("def fit_resample(self, X, y)", "def fit_resample(self, X)", "TypeError"),
    ("return X[chosen], y[chosen]", "return X[chosen]", "does not return a pair"),
    ("return X[chosen], y[chosen]", "return X[chosen, 0], y[chosen]", r"shapes \[8\] and \[8\]"),
    ("return X[chosen], y[chosen]", "return X[chosen] + 10, y[chosen]", "none of the images that it was given"),
    ("return X[chosen], y[chosen]", "return X[chosen] * 0.5, y[chosen]", "none of the images that it was given"),
    ("return X[chosen], y[chosen]", "return X[chosen], 1 - y[chosen]", "other classes than those of the images"),
    ("np.unique(y)]", "[0]]", "no image of 1 of the classes"),
    ("default_rng(random_state)", "default_rng()", "draws other images each time"),
    ("least = ", "raise ValueError('no')\n        least = ", "ValueError: no"),
]


@pytest.mark.parametrize(("old", "new", "message"), REFUSED)
def test_what_is_no_sampler_is_refused_in_one_line(old: str, new: str, message: str) -> None:
    assert old in SAMPLER
    with pytest.raises(HarnessError, match=f"my_samplers.py cannot be used: .*{message}.*; expected: AtMost") as e:
        try_sampler(NAME, SAMPLER.replace(old, new), LABELS)
    assert "\n" not in str(e.value)


def test_the_plan_names_the_place(study_with: StudyWith, store: Store) -> None:
    study = study_with(SAMPLER.replace("return X[chosen], y[chosen]", "return X"))
    workspace = prepare(study, store)
    with pytest.raises(HarnessError, match=r"stages\[0\]\.grid\.oversampling\[1\]: my_samplers\.py cannot be used"):
        check_own_parts(workspace, check_networks(study, workspace.inputs.digests, store), "cpu")
    with pytest.raises(StudyError, match="no class AtLeast; it has: AtMost"):
        prepare(study_with(SAMPLER, "base.oversampling=my_samplers:AtLeast"), store)
    with pytest.raises(StudyError, match="decides by itself how many images it draws"):
        study_with(SAMPLER, "base.oversampling_ratio=0.5")
    with pytest.raises(StudyError, match=r"allowed: none, random, smote, .*, or module:Class"):
        study_with(SAMPLER, "base.oversampling=smite")
