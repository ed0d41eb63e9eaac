"""Conformal sets in a report: fitted out of fold, measured on the test set."""

import numpy as np
import pandas as pd
import pytest

from harness.report.numbers.conformal_numbers import (
    CONFORMAL,
    COVERAGE,
    COVERAGES,
    LEAST_PROBABILITY,
    ONE_CLASS,
    SIZE,
    conformal_estimates,
)
from harness.report.numbers.estimates import OVER_PATIENTS
from harness.report.numbers.records import read_statistics
from tests.conftest import Finished
from tests.report.test_thresholds import predictions


def test_the_sets_of_the_test_set_are_counted_by_hand() -> None:
    first, second = (predictions(seed).assign(image=range(300), repeat=seed) for seed in (1, 2))
    second["label"] = first["label"]
    test = predictions(3).assign(patient=np.arange(300) // 2)
    both, alone = (conformal_estimates(of, test, "s") for of in (pd.concat([first, second]), first))
    found = {(e.at, e.metric, e.of_class): e for e in both}
    for at in COVERAGES:
        least = {name: found[at, LEAST_PROBABILITY, name].value for name in ("NO", "YES")}
        of_first = next(e for e in alone if (e.at, e.metric, e.of_class) == (at, LEAST_PROBABILITY, "YES")).value
        scores = np.sort(first.loc[first["label"] == "YES", "prob_YES"])[::-1]
        assert of_first == scores[int(np.ceil((len(scores) + 1) * at)) - 1]
        assert least["YES"] != of_first, "the mean over the repeats"
        sizes = sum((test[f"prob_{name}"] >= least[name]).astype(int) for name in least)
        assert found[at, SIZE, None].value == pytest.approx(np.mean(sizes))
        assert found[at, ONE_CLASS, None].hits == np.sum(sizes == 1)
        for name, threshold in least.items():
            own = test[test["label"] == name]
            e = found[at, COVERAGE, name]
            assert (e.hits, e.n) == ((own[f"prob_{name}"] >= threshold).sum(), len(own))
            assert e.method == f"Wilson{OVER_PATIENTS}"


def test_the_report_has_the_table(finished: Finished) -> None:
    folder, (test,) = finished.run.report.parent, finished.run.state.tests
    estimates = [e for e in read_statistics(folder).estimates if e.on == CONFORMAL]
    table = pd.read_csv(folder / f"conformal-{test.id}.csv")
    assert table["wanted"].tolist() == list(COVERAGES)
    assert all(e.mark and e.run_id for e in estimates)
    values = [e.value for e in estimates if e.metric == SIZE]
    assert table[SIZE].tolist() == pytest.approx(values, abs=1e-15)
    assert "**Conformal sets.**" in (folder / "report.md").read_text()
