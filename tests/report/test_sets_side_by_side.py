"""Three test sets, one of them from another folder: predictions, looks, the report, MLflow and verify."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.record import StudyRecord
from harness.report.numbers.predictions import ensemble, pooled
from harness.report.numbers.records import Estimate
from harness.report.numbers.set_numbers import I2, SITES, TAU2, TEST_SETS, mean_estimates
from harness.report.verified.fits import fit_item, planned_fits
from harness.report.verified.report_again import report_again_items
from harness.report.verified.study_inputs import record_items
from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.stats.random_effects import mean_rate
from harness.store import Store
from harness.store.ledger import set_file
from harness.store.seals import seal
from harness.study import load_study
from tests.conftest import Finished, draw_images, run_in, runs_of

TEXT = """\
study: three
data:
  source: table
  path: cases.csv
  image_size: 32
  columns: {image: file, label: finding, patient: pid, split: split}
  metadata: [site]
  test:
    sets:
      official: {split: test, site: [A, C]}
      hospital-b: {site: B}
      abroad: {source: folder, path: abroad, patient: '^(?P<patient>p[0-9]+)-'}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 16, learning_rate: 1.0e-3}
stages: [{name: heads, grid: {head: [dropout-gap, batchnorm-gap]}, select: {metric: val/accuracy}}]
test: {stages: [heads], model: folds, scenarios: all}
"""
SETS = {"official": 32, "hospital-b": 28, "abroad": 16}


def write_three(root: Path) -> Path:
    """84 images of 42 patients at three sites, and 16 of 8 patients in another folder."""
    numbers = pd.Series(range(84))
    paths = {f"{'AB'[n // 2 % 2]}/{n:02}.png": n for n in numbers}
    draw_images(root, paths)
    table = pd.DataFrame({"file": list(paths), "finding": [path[0] for path in paths]})
    table["pid"] = numbers.floordiv(2).map("q{:03}".format)
    table["split"] = np.where(numbers < 36, "train", "test")
    table["site"] = numbers.floordiv(4).mod(3).map({0: "A", 1: "B", 2: "C"})
    table.to_csv(root / "cases.csv", index=False)
    draw_images(root / "abroad", {f"{'AB'[n // 8]}/p{n // 2}-{n}.png": 500 + n for n in range(16)})
    (root / "three.yaml").write_text(TEXT)
    return root / "three.yaml"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, new_store: Callable[[], Store]) -> Finished:
    return run_in(load_study(write_three(tmp_path_factory.mktemp("table"))), new_store())


@pytest.mark.slow
def test_every_set_is_scored_by_the_same_models_with_its_own_rows(three: Finished) -> None:
    dataset, ledger = three.run.workspace.inputs.dataset, three.run.workspace.ledger
    assert {name: len(dataset.of_set(name).rows("test")) for name in dataset.sets} == SETS
    for test in three.run.state.tests:
        for job in test.jobs:
            for name in dataset.further_sets:
                frame = ledger.predictions(job.id, name)
                rows = dataset.table.iloc[dataset.rows(f"test:{name}")]
                assert frame[["image", "patient", "label"]].equals(
                    rows[["image", "patient", "label"]].reset_index(drop=True)
                )
                assert np.allclose(frame.filter(like="prob_").sum(axis=1), 1)


@pytest.mark.slow
def test_each_set_has_its_looks_which_are_counted_apart(three: Finished) -> None:
    workspace = three.run.workspace
    looks = workspace.ledger.looks
    for dataset in workspace.inputs.dataset.each_set:
        assert [look.same for look in looks.at(dataset)] == [True, True]
    again = run_in(three.study, three.store)
    assert again.reporter.outcomes == []
    assert len(looks.at(workspace.inputs.dataset.of_set("abroad"))) == 2, "the same look counts once"


@pytest.mark.slow
def test_the_report_has_a_row_for_each_set_and_scenario_and_the_mean_over_them(three: Finished) -> None:
    folder = three.run.report.parent
    dataset, ledger = three.run.workspace.inputs.dataset, three.run.workspace.ledger
    table = pd.read_csv(folder / "test-sets.csv", dtype=str)
    assert table["test set"].tolist() == [*SETS] * 2
    assert table["images"].tolist() == [str(count) for count in SETS.values()] * 2
    assert table["patients"].tolist() == ["16", "14", "8"] * 2
    assert (folder / "test-sets.tex").read_text().count("hospital-b") == 2
    statistics = json.loads((folder / "statistics.json").read_text())
    found = {(e["subject"], e["on"], e["metric"], e["of_class"]): e for e in statistics["estimates"]}
    for test in three.run.state.tests:
        of_sets = []
        for name in dataset.sets:
            frame = ensemble(pooled(list(test.jobs), ledger, None if name == "official" else name))
            classes, probabilities, labels = arrays(frame)
            metrics = classification_metrics(probabilities, labels, classes.index("B"))
            on = "test set" if name == "official" else f"test set {name}"
            for metric, of_class in (("accuracy", None), ("roc_auc", "B")):
                assert found[test.name, on, metric, of_class]["value"] == pytest.approx(metrics[metric])
            of_sets.append(found[test.name, on, "accuracy", None])
        values, images = np.array([(e["value"], e["n"]) for e in of_sets], dtype=float).T
        bounds = np.array([(e["low"], e["high"]) for e in of_sets], dtype=float)
        mean, expected = found[test.name, TEST_SETS.mean, "accuracy", None], mean_rate(values, bounds, images)
        assert (mean["value"], mean["low"], mean["high"]) == pytest.approx((expected.mean, expected.low, expected.high))
        another = found[test.name, TEST_SETS.another, "accuracy", None]
        assert (another["low"], another["high"]) == pytest.approx((expected.prediction_low, expected.prediction_high))
        assert found[test.name, TEST_SETS.mean, f"{TAU2}accuracy", None]["value"] == pytest.approx(expected.tau2)
    text = three.run.report.read_text()
    for name in ("test", "hospital-b", "abroad"):
        assert f"## From cross-validation to {name}: " in text
    gap = pd.read_csv(folder / "gap-abroad.csv")
    assert len(gap) == 8
    assert "abroad: 2 of 2 declared looks were taken by this study in this store" in text
    (item,) = [line for line in (folder / "checklist.md").read_text().splitlines() if "external data" in line]
    assert "abroad (images of its own (source folder))" in item
    assert "mean over test sets: " in item
    assert "no other site" not in item


@pytest.mark.slow
def test_mlflow_has_the_metrics_and_the_predictions_of_each_set(three: Finished) -> None:
    runs = runs_of(three.store, "test")
    assert len(runs) == 2
    for run in runs:
        assert {"test/accuracy", "test/hospital-b/accuracy", "test/abroad/roc_auc"} <= run.data.metrics.keys()
        assert run.data.metrics["test_looks/abroad"] == 2


@pytest.mark.slow
def test_verify_computes_all_of_it_again_and_finds_a_changed_prediction(three: Finished, tmp_path: Path) -> None:
    workspace = three.run.workspace
    assert {item.verdict for item in report_again_items(three.run.report.parent, workspace)} == {"holds"}
    assert {item.verdict for item in record_items(StudyRecord(workspace.folder), workspace)} == {"holds"}
    job = three.run.state.tests[0].jobs[0].id
    store = three.copy_to(tmp_path / "copy")
    folder = store.jobs / job
    plan = planned_fits(replace(workspace, store=store))[job]
    assert fit_item(folder, job, job, plan).verdict == "holds"
    file = folder / set_file("abroad")
    pd.read_parquet(file).iloc[1:].to_parquet(file, index=False)
    seal(folder)
    found = fit_item(folder, job, job, plan)
    assert found.verdict == "differs"
    assert "predictions-abroad.parquet: not the images that are scored (0 others, 1 missing)" in found.words
    view = replace(workspace, store=store)
    folder_again = store.reports / "three"
    assert "differs" in {item.verdict for item in report_again_items(folder_again, view)}


@pytest.mark.slow
def test_sites_that_folds_leave_out_have_a_table_and_a_mean(tmp_path: Path, new_store: Callable[[], Store]) -> None:
    file = write_three(tmp_path)
    text = TEXT.partition("  test:\n")[0] + "folds: {by: site}\nbase:" + TEXT.partition("base:")[2]
    file.write_text(text.replace("model: folds", "model: refit").replace("scenarios: all", "scenarios: winner"))
    done = run_in(load_study(file), new_store())
    folder, winner = done.run.report.parent, done.run.state.stages[0].best
    assert winner is not None
    table = pd.read_csv(folder / "left-out.csv", dtype=str)
    assert table[["scenario", "site", "images"]].to_numpy().tolist() == [[winner.name, s, "12"] for s in "ABC"]
    frame = pooled(list(winner.jobs), done.run.workspace.ledger)
    right = frame["prob_B"].gt(0.5) == frame["label"].eq("B")
    for (_, of_site), row in zip(right.groupby(frame["site"]), table.to_dict("records"), strict=True):
        assert float(row["accuracy"]) == pytest.approx(of_site.mean(), abs=1e-15)
        assert float(row["accuracy low"]) <= float(row["accuracy"]) <= float(row["accuracy high"])
    statistics = json.loads((folder / "statistics.json").read_text())
    (mean,) = [e for e in statistics["estimates"] if e["on"] == SITES.mean and e["metric"] == "accuracy"]
    assert mean["n"] == 3
    assert mean["low"] <= mean["value"] <= mean["high"]
    assert "mean over left-out sites: " in (folder / "checklist.md").read_text()
    assert {item.verdict for item in report_again_items(folder, done.run.workspace)} == {"holds"}


def estimate(on: str, value: float, low: float | None, high: float | None, n: int = 50) -> Estimate:
    return Estimate(subject="s", on=on, metric="accuracy", value=value, low=low, high=high, n=n)


def test_a_mean_takes_three_sets_with_an_interval() -> None:
    three_sets = [estimate("a", 0.8, 0.7, 0.9), estimate("b", 0.6, 0.5, 0.7), estimate("c", 0.9, 0.8, 0.95)]
    assert mean_estimates(three_sets[:2], "s", ["a", "b"], None, TEST_SETS) == []
    unknown = [*three_sets[:2], estimate("c", 0.9, None, None)]
    assert mean_estimates(unknown, "s", ["a", "b", "c"], None, TEST_SETS) == []
    mean, another, tau2, i2 = mean_estimates(three_sets, "s", ["a", "b", "c"], None, TEST_SETS)
    assert (mean.on, another.on, tau2.metric, i2.metric) == (
        TEST_SETS.mean,
        TEST_SETS.another,
        f"{TAU2}accuracy",
        f"{I2}accuracy",
    )
    assert 0.6 < mean.value < 0.9
    assert another.low is not None
    assert mean.low is not None
    assert another.low < mean.low < mean.value
    assert mean.n == 3


def test_a_perfect_set_takes_part_in_the_mean() -> None:
    sets = [estimate("a", 1.0, 0.93, 1.0), estimate("b", 0.9, 0.8, 0.95), estimate("c", 0.95, 0.9, 1.0)]
    mean, *_ = mean_estimates(sets, "s", ["a", "b", "c"], None, TEST_SETS)
    assert 0.9 < mean.value < 1
