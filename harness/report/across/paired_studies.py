"""Studies of the same images, pair by pair: recipes over the same folds, and fitted models on the same images."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import LEADING
from harness.report.across.shared_images import SharedImages, keyed
from harness.report.across.sides import StudySide, margin_of
from harness.report.numbers.comparisons import (
    OUT_OF_FOLD,
    TEST,
    accuracy_comparison,
    fitted_comparisons,
    holm_adjusted,
    judged,
    over_folds,
    right,
)
from harness.report.numbers.marks import together
from harness.report.numbers.predictions import Predictions, by_repeat
from harness.report.numbers.records import Comparison
from harness.stats.fitted_models import accuracy_difference
from harness.study.contests import fold_test
from harness.study.scenario_state import ScenarioState


def paired_comparisons(sides: Sequence[StudySide], shared: SharedImages) -> list[Comparison]:
    """Every pair of studies: recipes where the folds are the same, else fitted models out of fold; and on the test set.

    Whoever chose the scenarios has seen the numbers of all, so p is adjusted for all pairs that they come from.
    """
    pairs = list(combinations(sides, 2))
    if shared.of == "folds":
        found = _recipes(pairs, sum(a.chosen_from * b.chosen_from for a, b in pairs))
    else:
        found = holm_adjusted([_out_of_fold(a, b) for a, b in pairs])
    marks = {side.label: side.mark for side in sides}
    of_folds = [c.model_copy(update={"mark": together([marks[c.first], marks[c.second]])}) for c in found]
    return of_folds + (_on_test(pairs) if shared.test else [])


def _recipes(pairs: Sequence[tuple[StudySide, StudySide]], family: int) -> list[Comparison]:
    metric, maximize = pairs[0][0].select.metric, pairs[0][0].select.maximize
    margin = margin_of([side for pair in pairs for side in pair])
    found = [
        over_folds((a.label, b.label), metric, fold_test(a.chosen, b.chosen, metric), margin, maximize)
        for a, b in pairs
    ]
    return judged(found, maximize, family)


def _out_of_fold(first: StudySide, second: StudySide) -> Comparison:
    """The accuracies of two scenarios on the same images, each image by the model that was not trained on it."""
    a, b = (_predictions(side).out_of_fold(side.chosen) for side in (first, second))
    one, other = (_share_right(keyed(side, frame, "train")) for side, frame in ((first, a), (second, b)))
    patients = _patients(first, second, "train").loc[one.index]
    hits = [np.asarray(shares.loc[one.index], dtype=np.float64) for shares in (one, other)]
    test = accuracy_difference(hits[0], hits[1], pd.factorize(patients)[0])
    return accuracy_comparison((first.label, second.label), OUT_OF_FOLD, test)


def _share_right(frame: pd.DataFrame) -> "pd.Series[float]":
    """The share of the repeats in which each image is classified correctly."""
    parts = by_repeat(frame)
    each: NDArray[np.float64] = np.mean([right(part) for part in parts], axis=0)
    return pd.Series(each, index=parts[0]["image"])


def _patients(first: StudySide, second: StudySide, split: str) -> "pd.Series[str]":
    """The patient of each image, by its content: of the study that knows them, and of both the larger ones."""
    found = []
    for side in (first, second):
        dataset, unit = side.workspace.inputs.dataset, side.workspace.unit
        table = dataset.table[dataset.table["split"] == split]
        table = table.assign(image=table["patient"]).drop_duplicates("patient") if unit.patients else table
        found.append(keyed(side, table[["image", "patient"]], split).set_index("image")["patient"])
    return min(found, key=lambda patients: patients.nunique())


def _on_test(pairs: Sequence[tuple[StudySide, StudySide]]) -> list[Comparison]:
    """The fitted models of the scenarios that were scored on the same test images; empty where one was not."""
    scored = {side.label: _scored(side) for pair in pairs for side in pair}
    found: dict[str, list[Comparison]] = {}
    for a, b in pairs:
        one, other = scored[a.label], scored[b.label]
        if one is None or other is None:
            continue
        frames = [(s.label, keyed(s, _predictions(s).on_test(state), LEADING)) for s, state in ((a, one), (b, other))]
        positive = a.workspace.inputs.dataset.positive
        same = positive if positive == b.workspace.inputs.dataset.positive else None
        for c in fitted_comparisons(frames, TEST, same):
            mark = together([_test_mark(a, one), _test_mark(b, other)])
            found.setdefault(c.metric, []).append(c.model_copy(update={"mark": mark}))
    return [c for of_metric in found.values() for c in holm_adjusted(of_metric)]


def _scored(side: StudySide) -> ScenarioState | None:
    return next((test for test in side.state.tests if test.finished and test.id == side.chosen.id), None)


def _test_mark(side: StudySide, test: ScenarioState) -> str | None:
    return side.marks.test(side.workspace.inputs.dataset, test.settings, side.workspace.ledger)


def _predictions(side: StudySide) -> Predictions:
    return Predictions(side.workspace.ledger, side.workspace.inputs.dataset.positive, side.workspace.unit)
