"""Predictions at the edges, such as those of a baseline: a report has what can be computed, and never fails."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from harness.report.numbers.clinical import clinical_estimates
from harness.report.numbers.conformal_numbers import conformal_estimates
from harness.report.numbers.records import Estimate
from harness.study import Study

Draw = Callable[[NDArray[np.bool_], np.random.Generator], NDArray[np.float64]]

ODD: dict[str, Draw] = {
    "the majority class": lambda ill, _: np.full(len(ill), 0.75),
    "all the same but one": lambda ill, _: np.where(np.arange(len(ill)) == 0, 0.7500001, 0.75),
    "perfect, and sure of it": lambda ill, _: ill.astype(float),
    "perfect, and not sure": lambda ill, rng: np.where(ill, 0.6, 0.4) + rng.normal(0, 0.01, len(ill)),
    "always wrong, and sure of it": lambda ill, _: (~ill).astype(float),
    "two values": lambda _, rng: rng.choice([0.2, 0.8], 24),
    "sure, and half wrong": lambda _, rng: rng.choice([0.0, 1.0], 24),
    "all but nothing": lambda ill, _: np.full(len(ill), 1e-300),
    "all ill": lambda ill, _: np.ones(len(ill)),
}


def predicted(draw: Draw, seed: int, patients: int, test: bool) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ill = np.arange(24) % 3 > 0
    scores = draw(ill, rng)
    frame = pd.DataFrame({"image": [f"{n}.png" for n in range(24)], "patient": [f"p{n % patients}" for n in range(24)]})
    frame = frame.assign(label=np.where(ill, "ILL", "WELL"), prob_ILL=scores, prob_WELL=1 - scores)
    return frame if test else frame.assign(fold=np.arange(24) % 2, repeat=0)


@pytest.mark.parametrize("patients", [1, 2, 24])
@pytest.mark.parametrize("name", ODD)
def test_the_numbers_of_odd_predictions_are_finite_and_within_their_intervals(
    name: str, patients: int, small_study: Callable[..., Study]
) -> None:
    study = small_study().model_copy(update={"prevalences": (0.05, 0.5)})
    out_of_fold, test = (predicted(ODD[name], seed, patients, seed == 2) for seed in (1, 2))
    found: list[Estimate] = clinical_estimates(out_of_fold, test, "ILL", study, "it")
    found += conformal_estimates(out_of_fold, test, "it")
    assert found
    for e in found:
        assert np.isfinite(e.value)
        if e.interval is not None:
            assert e.interval[0] - 1e-9 <= e.value <= e.interval[1] + 1e-9, e
