"""A learning curve: fits on shares of their folds, from the plan to a report that holds."""

import json
import re
from collections.abc import Callable

import pandas as pd
import pytest

from harness.data.train_share import share_lines, share_of, share_seed
from harness.prepare import prepare
from harness.report.verified.report_again import report_again_items
from harness.report.verified.verify import Verification
from harness.store import Store
from harness.study import Study
from harness.study.contests import val_to_train
from harness.study.settings import ResolvedSettings
from tests.conftest import Finished, run_in, runs_of

SHARES = [0.25, 0.5, 1.0]
CURVE = (
    f"stages=[{{name: shares, grid: {{train_share: {SHARES}, oversampling: [none, random]}},"
    " select: {metric: val/accuracy}}]",
    "test={stages: [shares]}", "base.trainable=head", "base.epochs=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def curve(small_study: Callable[..., Study], new_store: Callable[[], Store]) -> Finished:
    return run_in(small_study(*CURVE), new_store())


def test_every_fit_learns_from_its_share_and_is_scored_on_its_whole_fold(curve: Finished) -> None:
    (stage,), inputs = curve.run.state.stages, curve.run.workspace.inputs
    for state in stage.scenarios:
        for job in state.jobs:
            counts = state.records[job.id].class_counts
            fold = inputs.fold(job.repeat, job.fold or 0)
            share = state.settings.train_share
            rows = share_of(inputs.dataset, fold.train, share, share_seed(curve.study.seed, job))
            assert counts["before"] == inputs.dataset.counts(rows)
            assert counts.get("fold") == (None if share == 1 else inputs.dataset.counts(fold.train))
            assert sum(counts["before"].values()) == pytest.approx(share * len(fold.train), abs=4)
            if state.settings.oversampling == "random":
                assert set(counts["after"].values()) == {max(counts["before"].values())}
            assert json.loads((curve.store.jobs / job.id / "classes.json").read_text()) == counts
            frame = pd.read_parquet(curve.store.jobs / job.id / "predictions.parquet")
            assert frame["image"].tolist() == inputs.dataset.table["image"][fold.validation].tolist()
    passes = [record.facts.backbone_passes or 0 for state in stage.scenarios for record in state.records.values()]
    assert sorted(passes) == [0] * 11 + [48], "features are extracted once for all shares"


def test_the_plan_counts_the_images_of_each_share_and_the_refit_says_its_own(curve: Finished) -> None:
    inputs = curve.run.workspace.inputs
    lines = list(share_lines(curve.study, inputs.dataset, inputs.folds))
    assert [line.partition(":")[0] for line in lines] == ["train_share 0.25", "train_share 0.5"]
    assert re.fullmatch(r"train_share 0\.25: \d(?: to \d)? training images of \d(?: to \d)? patients a fit", lines[0])
    (test,) = curve.run.state.tests
    assert f"refitted on {test.settings.trained_on}, last epoch" in curve.run.report.read_text()
    assert ResolvedSettings(backbone="b", image_size=8, train_share=0.1).trained_on == "0.1 of the training images"


def test_the_whole_share_is_the_study_without_shares(curve: Finished, small_study: Callable[..., Study]) -> None:
    plain = small_study(*CURVE, "stages.0.grid={oversampling: [none, random]}")
    jobs = {job.id for state in prepare(plain, curve.store).reader.read().stages[0].scenarios for job in state.jobs}
    whole = [state for state in curve.run.state.stages[0].scenarios if state.settings.train_share == 1]
    assert jobs == {job.id for state in whole for job in state.jobs}


def test_fewer_training_images_widen_the_intervals_of_differences(curve: Finished) -> None:
    ratios = {s.settings.train_share: val_to_train(s) for s in curve.run.state.stages[0].scenarios}
    assert ratios == {0.25: 4.0, 0.5: 2.0, 1.0: 1.0}


def test_the_report_has_the_curve_and_it_holds(curve: Finished) -> None:
    folder = curve.run.report.parent
    text = curve.run.report.read_text()
    assert "![learning curve](learning-curve-shares.png)" in text
    assert (folder / "learning-curve-shares.svg").is_file()
    table = pd.read_csv(folder / "learning-curve-shares.csv")
    assert table["train_share"].tolist() == SHARES * 2
    assert table["oversampling"].tolist() == ["none"] * 3 + ["random"] * 3
    means = {state.name: state.summary["val/accuracy_mean"] for state in curve.run.state.stages[0].scenarios}
    assert sorted(table["val/accuracy"]) == pytest.approx(sorted(means.values()))
    value, low, high = (table[f"accuracy, out of fold{end}"] for end in ("", " low", " high"))
    assert (low <= value).all() and (value <= high).all()
    assert {run.data.params["train_share"] for run in runs_of(curve.store, "scenario")} == {"0.25", "0.5", "1.0"}


@pytest.mark.long
def test_the_fits_and_the_curve_are_computed_again(curve: Finished) -> None:
    folder, workspace = curve.run.report.parent, curve.run.workspace
    fits = [item for item in Verification(curve.store).items() if item.part == "fits"]
    assert {item.verdict for item in fits} == {"holds"}
    assert sum("metrics follow from the predictions" in item.words for item in fits) == 13
    file = folder / "learning-curve-shares.csv"
    before = file.read_text()
    file.write_text(before.replace("random,0.25", "random,0.35"))
    try:
        found = {item.what for item in report_again_items(folder, workspace) if item.verdict == "differs"}
    finally:
        file.write_text(before)
    assert [what for what in found if what.endswith(file.name)] == [*found]
