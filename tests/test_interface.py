"""The interface for Python: its tables against each other, and against what the commands wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import harness
from harness.errors import StudyError
from harness.execution.planned import PlannedStudy
from harness.interface import OpenStudy
from harness.report.numbers.records import read_statistics
from harness.store import Store
from harness.study import load_study
from harness.study_results import Results
from tests.conftest import ROOT, SMALL_STUDY, Finished
from tests.readme_pages import BLOCK
from tests.test_imports import loaded_by


@pytest.fixture(scope="module")
def opened(finished: Finished) -> OpenStudy:
    return OpenStudy(finished.study, finished.store)


@pytest.fixture(scope="module")
def results(opened: OpenStudy) -> Results:
    return opened.results()


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL_STUDY)
    return file


def _right(predicted: pd.DataFrame) -> "pd.Series[bool]":
    """Whether the most probable class of each prediction is the true one."""
    names = [str(name) for name in predicted if str(name).startswith("prob_")]
    likely = predicted[names].to_numpy().argmax(axis=1)
    classes = np.array([name.removeprefix("prob_") for name in names])
    return pd.Series(predicted["label"].to_numpy() == classes[likely], index=predicted.index)


def test_a_study_is_the_one_that_the_command_line_reads(study_file: Path, tmp_path: Path) -> None:
    given = {"base.learning_rate": 1e-5, "base.epochs": 1, "data.positive": None, "stages.0.grid.head": ["dropout-gap"]}
    words = ["base.learning_rate=0.00001", "base.epochs=1", "data.positive=", "stages.0.grid.head=[dropout-gap]"]
    found = harness.load_study(study_file, given, data=tmp_path, store=tmp_path / "store")
    assert dict(found.study) == dict(load_study(study_file, words, str(tmp_path)))
    assert dict(harness.load_study(str(study_file), words, tmp_path).study) == dict(found.study)
    assert found.store.root == tmp_path / "store"
    assert found.study.base.learning_rate == 1e-5


def test_a_mistake_is_the_line_of_the_command_line(study_file: Path) -> None:
    with pytest.raises(harness.HarnessError) as caught:
        harness.load_study(study_file, {"base.head": "dropout-gab"}).plan()
    assert "--set base.head=\"dropout-gab\": base.head: unknown head 'dropout-gab'; did you mean dropout-gap" in str(
        caught.value
    )
    assert caught.value._render_traceback_() == [f"error: {caught.value}"], "what IPython shows of an exception"
    with pytest.raises(StudyError, match=r"^none.yaml: no such study file; `harness new NAME --data DIR` writes one$"):
        harness.load_study("none.yaml")


def test_without_a_fit_there_are_no_results(study_file: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nothing was run in .*/store yet; first run: harness run STUDY"):
        harness.load_study(study_file, store=tmp_path / "store").results()
    assert not (tmp_path / "store").exists()


def test_a_plan_says_what_is_done(opened: OpenStudy, study_file: Path, tmp_path: Path) -> None:
    done = opened.plan()
    assert isinstance(done, PlannedStudy)
    table = done.scenarios()
    assert table[["stage", "head", "oversampling"]].drop_duplicates().shape == (4, 3)
    assert (table["fits"] == 2).all()
    assert (table["done"] == 2).all()
    assert table.groupby("stage")["selected"].sum().to_dict() == {"heads": 1, "sampling": 1}
    assert str(done) == "small: 7 fits known, 7 done; SYNTHETIC DATA"
    new = harness.load_study(study_file, store=tmp_path / "store").plan()
    assert str(new) == "small: 4 fits known, 0 done; stage sampling waits for stage heads; SYNTHETIC DATA"
    assert "batchnorm-gap" in new._repr_html_()
    assert "stage sampling waits for stage heads" in new._repr_html_()


def test_the_means_of_scenarios_are_those_of_their_folds_and_of_their_predictions(results: Results) -> None:
    scenarios, folds = results.scenarios(), results.folds()
    assert list(scenarios.columns[:5]) == ["stage", "scenario", "scenario_id", "head", "oversampling"]
    assert len(scenarios) == 4
    assert len(folds) == 6, "a scenario of two stages stands here once"
    means = folds.groupby("scenario_id")["val/accuracy"].agg(["mean", "std"])
    assert np.allclose(
        means.loc[scenarios["scenario_id"]].to_numpy(), scenarios[["val/accuracy_mean", "val/accuracy_std"]]
    )
    assert scenarios["cost/parameters"].gt(0).all()
    predicted = results.predictions()
    right = _right(predicted)
    again = right.groupby([predicted["scenario_id"], predicted["repeat"], predicted["fold"]]).mean()
    assert np.allclose(
        folds.set_index(["scenario_id", "repeat", "fold"])["val/accuracy"].sort_index(), again.sort_index()
    )
    assert set(scenarios["mark"]) == {"SYNTHETIC DATA"} == set(folds["mark"]) == set(predicted["mark"])


def test_the_last_epoch_has_the_metrics_of_its_fit(results: Results) -> None:
    epochs, folds = results.epochs(), results.folds()
    assert len(epochs) == 2 * len(folds)
    selected = folds[["job_id", "selected_epoch", "val/loss", "head", "fold"]]
    joined = selected.merge(epochs, left_on=["job_id", "selected_epoch"], right_on=["job_id", "epoch"])
    assert len(joined) == len(folds)
    assert (joined["val/loss_x"] == joined["val/loss_y"]).all()
    assert (joined["head_x"] == joined["head_y"]).all()


def test_the_numbers_are_those_of_the_report(results: Results, finished: Finished) -> None:
    stored = read_statistics(finished.run.report.parent)
    estimates, comparisons = results.estimates(), results.comparisons()
    assert estimates["value"].tolist() == [e.value for e in stored.estimates]
    assert estimates["mark"].tolist() == [e.mark for e in stored.estimates]
    assert comparisons["p_holm"].tolist() == [c.p_holm for c in stored.comparisons]
    of_test = estimates[(estimates["on"] == "test set") & (estimates["metric"] == "accuracy")].set_index("subject")
    predicted = results.predictions("test set")
    right = _right(predicted)
    scored = of_test.loc[predicted["scenario"].iloc[0]]
    assert scored["value"] == right.mean()
    assert scored["head"] == predicted["head"].iloc[0]
    assert of_test.loc[["majority class"], "head"].isna().all(), "it is no scenario"


def test_a_notebook_shows_the_leaderboards(results: Results) -> None:
    page = results._repr_html_()
    best = results.scenarios().query("stage == 'heads'")["val/roc_auc_mean"].max()
    assert "small, stage heads: mean over folds" in page
    assert "SYNTHETIC DATA" in page
    assert f"{best:.3f}" in page
    assert repr(results).endswith("small: 7 fits done, 0 missing, 0 failed>")


def test_tables_are_made_without_torch_and_mlflow(study_file: Path, finished: Finished) -> None:
    loaded = loaded_by(f"""
import harness
results = harness.load_study({str(study_file)!r}, store={str(finished.store.root)!r}).results()
results.scenarios(), results.folds(), results.epochs(), results.predictions(), results.comparisons()
""")
    assert "pandas" in loaded
    assert loaded & {"torch", "timm", "mlflow", "matplotlib"} == set()


def test_predictions_are_on_images_that_exist(results: Results) -> None:
    with pytest.raises(StudyError, match="predictions on 'train'; allowed: out of fold, test set"):
        results.predictions("train")


def test_the_page_is_that_of_the_command(opened: OpenStudy, finished: Finished) -> None:
    page = opened.report()
    assert page == finished.run.report.with_name("index.html")
    assert json.loads(page.with_name("statistics.json").read_text())["name"] == "small"


def test_the_code_of_the_page_gives_what_it_says(
    study_file: Path, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    study_file.rename(tmp_path / "studies" / "mine.yaml")
    finished.copy_to(tmp_path / "mlruns")
    monkeypatch.chdir(tmp_path)
    told = (ROOT / "harness" / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    for language, block in BLOCK.findall(told):
        if language == "python":
            exec(block, names)
    runs, folds = names["runs"], names["results"].folds()
    assert sorted(runs["tags.harness.job_id"]) == sorted(folds["job_id"]), "the fits on folds, each once"
    assert sorted(runs["metrics.val/accuracy"]) == sorted(folds["val/accuracy"])


def test_a_study_without_a_search_is_not_searched(opened: OpenStudy) -> None:
    with pytest.raises(StudyError, match="the study has no search: block"):
        opened.search()


def test_a_pair_is_compared_as_in_the_report(results: Results) -> None:
    reported = results.comparisons().query("on == 'folds'").iloc[[0]]
    first, second = reported[["first", "second"]].iloc[0]
    compared = results.compare(first, second)
    of_fits = ["fits_low", "fits_high"]  # from resamples, of comparisons with the best scenario
    assert reported[of_fits].notna().all(axis=None)
    assert compared[of_fits].isna().all(axis=None)
    same = [table.drop(columns=of_fits).to_json(orient="records") for table in (compared, reported)]
    assert same[0] == same[1]
    turned = results.compare(second, first).iloc[0]
    assert turned["difference"] == -reported["difference"].iloc[0]
    assert turned["p_holm"] == reported["p_holm"].iloc[0]
    with pytest.raises(StudyError, match="two scenarios are compared"):
        results.compare(first, first)
    apart = [name for name in results.scenarios()["scenario"].unique() if name not in (first, second)]
    stranger = next(name for name in (first, second) if results.scenarios()["scenario"].tolist().count(name) == 1)
    with pytest.raises(StudyError, match="in no stage together"):
        results.compare(stranger, apart[0])


def test_figures_are_drawn_with_the_values_of_the_tables_and_the_mark(results: Results) -> None:
    import matplotlib.pyplot as plt

    curves = results.plot.curves("heads")
    means = results.epochs().groupby(["scenario", "epoch"])["val/roc_auc"].mean()
    assert {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in curves.lines} == {
        name: pytest.approx(means[name].tolist()) for name in results.scenarios().query("stage == 'heads'")["scenario"]
    }
    assert "SYNTHETIC DATA" in [text.get_text() for text in curves.figure.texts]
    counts = results.plot.confusion(on="test set").texts
    assert sum(int(text.get_text().partition("\n")[0]) for text in counts) == len(results.predictions("test set"))
    panels = results.plot.intervals()
    assert [panel.get_xlabel() for panel in panels] == ["accuracy", "roc_auc, PNEUMONIA"]
    name = results.scenarios()["scenario"].iloc[0]
    for axes in (results.plot.roc(name), results.plot.pr(name), results.plot.calibration(name)):
        assert axes.lines
        assert axes.figure.get_suptitle() == f"out of fold, {name}"
    for wrong, told in (({"stage": "none"}, "unknown stage"), ({"metric": "val/none"}, "unknown metric")):
        with pytest.raises(StudyError, match=told):
            results.plot.curves(**wrong)
    with pytest.raises(StudyError, match="has no predictions test set yet"):
        results.plot.roc(
            next(
                n for n in results.scenarios()["scenario"] if n not in set(results.predictions("test set")["scenario"])
            ),
            "test set",
        )
    plt.close("all")


def test_one_scenario_is_fitted_alone_and_the_rest_later(study_file: Path, store: Store) -> None:
    one_stage = {"stages": [{"name": "heads", "grid": {"head": ["dropout-gap", "batchnorm-gap"]}}], "base.epochs": 1}
    study = harness.load_study(study_file, {**one_stage, "test": None}, store=store)
    with pytest.raises(StudyError, match="unknown scenario 'dropout'; did you mean dropout-gap"):
        study.run("dropout")
    some = study.run("batchnorm-gap", executor="inline", device="cpu")
    assert set(some.folds()["head"]) == {"batchnorm-gap"}
    assert some.scenarios().set_index("head")["done"].to_dict() == {"dropout-gap": 0, "batchnorm-gap": 2}
    every = study.run(executor="inline", device="cpu")
    assert every.failed == 0
    assert every.scenarios()["done"].tolist() == [2, 2]
    kept = every.folds().query("head == 'batchnorm-gap'")["seconds"].tolist()
    assert kept == some.folds()["seconds"].tolist(), "what was fitted is not fitted again"
