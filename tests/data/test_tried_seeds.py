"""Seeds that were tried on the same images stand beside the numbers of the study that came later."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.prepare import named_workspace, prepare
from harness.report.numbers.records import Statistics
from harness.report.write import write_report
from harness.store import Store
from harness.study import Study
from tests.conftest import Finished, run_in

TEXT = """\
study: first
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 48, test: 24}}
folds: {k: 2}
base: {backbone: majority, weights: none, epochs: 1}
stages:
  - name: one
    grid: {backbone: [majority]}
    select: {metric: val/accuracy}
test: {stages: [one], model: refit}
"""


@pytest.fixture
def load(study_of: Callable[..., Study]) -> Callable[..., Study]:
    return lambda *overrides: study_of(TEXT, *overrides)


def marks(run: Finished) -> list[str]:
    """The marks that the report gives every number, but the one of synthetic images."""
    statistics = Statistics.model_validate_json(run.run.report.with_name("statistics.json").read_text())
    return [mark for mark in statistics.marks if mark != "SYNTHETIC DATA"]


def test_a_later_seed_is_counted_and_an_earlier_report_stays(
    load: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    first = run_in(load(), store)
    assert marks(first) == [] and "tried" not in json.loads((first.run.workspace.folder / "record.json").read_text()), (
        "as records of before"
    )
    second = run_in(load("study=second", "seed=7"), store)
    assert marks(second) == ["2 SEEDS TRIED ON THESE IMAGES"]
    words = "2 seeds tried on these training images with the same settings, in this store (in this order: 0, 7)"
    text = second.run.report.read_text()
    assert f"**{words}.**" in text and second.run.marks.every == "SYNTHETIC DATA; 2 SEEDS TRIED ON THESE IMAGES"
    assert set(pd.read_csv(second.run.report.with_name("costs.csv"))["mark"]) == {second.run.marks.every}

    third = run_in(load("study=third", "folds.seed=3"), store)
    assert marks(third) == ["2 SEEDS TRIED ON THESE IMAGES", "2 SEEDS OF FOLDS TRIED ON THESE IMAGES"]
    other = run_in(load("study=other", "seed=9", "data.phantom.seed=5"), store)
    assert marks(other) == [], "other images"

    again = named_workspace("first", store)
    written = write_report(again, again.reader.read(), out=tmp_path / "report")
    assert "SEEDS TRIED" not in written.read_text() and "these training images with" not in written.read_text()
    assert prepare(load(), store).study.tried.seeds == (), "what was known when it was run"
    assert marks(run_in(load(), store)) == marks(third), "run again, it is counted again"
