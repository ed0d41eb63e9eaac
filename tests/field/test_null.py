"""Networks that differ by nothing but chance: whoever is called better or worse here is called so falsely."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.report.tables.estimate_table import practical_note
from harness.store import Store
from harness.study.stage import DEFAULT_MARGIN
from tests.conftest import runs_of
from tests.field.conftest import Harness

STUDY = """\
study: equals
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 64, test: 32}}
folds: {k: 2, repeats: 2}
base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 8, learning_rate: 1.0e-2}
stages:
  - name: grid
    grid: {weight_decay: [1.0e-12, 2.0e-12]}
    select: {metric: val/accuracy}
test: {stages: [grid], scenarios: all, model: folds}
"""
CALLED = re.compile(r"\b(?:better|worse)\b")
EXPLAINED = (practical_note(DEFAULT_MARGIN), "no scenario is better by them", "P(better)", "P(worse)")  # no verdicts


def without_explanations(text: str) -> str:
    """The text without the sentences and column heads that say what verdicts mean."""
    for words in EXPLAINED:
        text = text.replace(words, "")
    return text


def strings(value: object) -> Iterator[str]:
    """Every string among the values of what was read from JSON; not the names of its fields."""
    if isinstance(value, str):
        yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from strings(part)


class Equals:
    """The study of equal networks as it was run: its words and its numbers."""

    def __init__(self, harness: Harness, store: Store) -> None:
        Path("s.yaml").write_text(STUDY)
        ended = harness("run", "s.yaml", "--device", "cpu", "--store", str(store.root))
        assert ended.code == 0, ended
        self.terminal, self.store = ended.out + ended.err, store
        self.folder = self.store.reports / "equals"
        self.report = (self.folder / "report.md").read_text()
        self.statistics: dict[str, Any] = json.loads((self.folder / "statistics.json").read_text())

    @property
    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield everything that is said of the study, and where: the terminal, MLflow, and each file of the report."""
        yield "terminal", self.terminal
        yield from (("MLflow", run.data.tags.get("mlflow.note.content", "")) for run in runs_of(self.store))
        for file in sorted(file for file in self.folder.rglob("*") if file.suffix in (".md", ".csv", ".tex", ".json")):
            if file.name.endswith(".schema.json"):
                continue
            text = file.read_text()
            yield file.name, "\n".join(strings(json.loads(text))) if file.suffix == ".json" else text

    def values(self, on: str, metric: str) -> list[float]:
        """The value of each scenario."""
        return [
            e["value"]
            for e in self.statistics["estimates"]
            if (e["on"], e["metric"]) == (on, metric) and e["subject"] != "majority class"
        ]


@pytest.mark.long
def test_chance_alone_is_nowhere_called_better_or_worse(harness: Harness, store: Store) -> None:
    equals = Equals(harness, store)
    comparisons = equals.statistics["comparisons"]
    kinds = {(c["on"], c["compares"], c["verdict"]) for c in comparisons}
    assert kinds == {("folds", "recipes", "cannot resolve"), ("test set", "fitted models", None)}
    for where, text in equals.texts:
        assert not CALLED.search(without_explanations(text)), where
    assert practical_note(DEFAULT_MARGIN) in equals.report
    verdicts = pd.read_csv(equals.folder / "comparisons-test.csv", keep_default_na=False)["verdict"]
    assert set(verdicts) == {"-"}

    # with repeats, what is said out of fold is said of one network, not of the mean of several
    folds, out_of_fold = equals.values("folds", "accuracy"), equals.values("out of fold", "accuracy")
    assert out_of_fold == pytest.approx(folds, abs=1e-9)  # folds of one size
    for e in equals.statistics["estimates"]:
        if (e["on"], e["metric"]) == ("out of fold", "accuracy") and e["subject"] != "majority class":
            assert (e["n"], e["repeats"]) == (64, 2)
            assert e["low"] < e["value"] < e["high"]
    board = pd.read_csv(equals.folder / "leaderboard-grid.csv")
    assert sorted(board["val/accuracy"]) == pytest.approx(sorted(folds))
    assert "Each of the 2 repeats of the folds has one prediction for every image" in equals.report
    assert np.ptp(folds) > 0

    # the mean of the fold models is what the file declares for the test set, and is called what it is
    notes = "".join(text for where, text in equals.texts if where == "MLflow")
    for text in (equals.terminal, equals.report, (equals.folder / "summary.md").read_text(), notes):
        assert re.search(r"ensemble of (the )?4 fold models", text)
    for e in equals.statistics["estimates"]:
        if e["subject"] != "majority class":
            assert e["ensemble"] == (4 if "test set" in e["on"] else None), e
    assert "Cross-validation scores each fold model alone" in equals.report
