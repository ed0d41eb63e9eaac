"""The report of a search that has run, its best study, and the confirmation."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.execution.progress import Reporter
from harness.prepare import prepare
from harness.report.numbers.marks import BEST_EPOCH, Marks
from harness.report.verified.verify import Verification
from harness.report.written import FILE
from harness.search.analysis import importances
from harness.search.computed_again import search_again_items
from harness.search.confirm import confirmed
from harness.search.run import SearchRun, run_search
from harness.search.trials import best_trial, pareto_front, shown, trial_marks, trials_frame
from harness.store import Ledger, Store
from harness.store.seals import SEAL
from harness.study import Study, load_study
from harness.study.plan import fold_jobs
from harness.study.reader import StateReader
from tests.search.conftest import StudyOf, new_store, searched
from tests.search.test_run import queue_of, runs_of

CONFIRM = ("search.trials=12", "search.confirm={repeats: 2}")


@pytest.fixture(scope="module")
def done(
    study_of: StudyOf, prepared: Store, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, Store, SearchRun]:
    store = new_store(prepared, tmp_path_factory.mktemp("report") / "store")
    study = study_of(*CONFIRM)
    with Reporter() as reporter:
        return study, store, run_search(study, store, "cpu", reporter, 1, None, None)


def test_the_headline_is_the_confirmed_mean(done: tuple[Study, Store, SearchRun]) -> None:
    study, store, run = done
    best, text = best_trial(study, run.results), run.report.read_text()
    assert best is not None and best.value is not None and run.confirmed is not None
    best_study = load_study(run.report.parent / "best.yaml")
    (state,) = StateReader(best_study, prepare(best_study, store).inputs.digests, Ledger(store)).read().stages
    (scenario,) = state.scenarios
    assert scenario.finished and len(scenario.jobs) == 4
    assert run.confirmed.mean == pytest.approx(scenario.summary["val/roc_auc_mean"])
    assert run.confirmed.fold_sd == pytest.approx(scenario.summary["val/roc_auc_std"])
    headline = next(line for line in text.splitlines() if line.startswith("**Confirmed"))
    assert f"{run.confirmed.mean:.4f}" in headline.partition("(")[0]
    assert f"**{best.value - run.confirmed.mean:+.4f}**" in headline
    assert "SYNTHETIC" in text


def test_the_best_study_has_the_best_settings_on_other_folds_with_other_seeds(
    done: tuple[Study, Store, SearchRun],
) -> None:
    study, store, run = done
    best = best_trial(study, run.results)
    assert best is not None
    best_study = load_study(run.report.parent / "best.yaml")
    assert best_study.base.model_dump() == best.scenario.settings.model_dump()
    assert best_study.test is None and best_study.search is None
    old, new = prepare(study, store).inputs, prepare(best_study, store).inputs
    assert old.digests.manifest == new.digests.manifest
    assert not set(old.digests.folds.values()) & set(new.digests.folds.values())
    (state,) = StateReader(best_study, new.digests, Ledger(store)).read().stages
    searched_seeds = {job.seed for job in fold_jobs(study, best.scenario, old.digests)}
    assert not searched_seeds & {job.seed for job in state.scenarios[0].jobs}


def test_a_report_holds_in_every_file_when_it_is_computed_again(done: tuple[Study, Store, SearchRun]) -> None:
    _, store, run = done
    folder, items = run.report.parent, list(Verification(store, None, search_again_items).items())
    names = {path.name for path in folder.iterdir()} - {SEAL, FILE}
    assert {"report.md", "trials.csv", "best.yaml", "search.html", "index.html", "history.png"} <= names
    again = {item.what: item.verdict for item in items if item.what.startswith(f"reports/{folder.name}/")}
    assert again == {f"reports/{folder.name}/{name}": "holds" for name in names}
    (trials,) = (item for item in items if item.what.startswith("optuna.db, search"))
    assert (trials.verdict, trials.words) == (
        "holds",
        f"the values of {len(run.results)} trials follow from their fits",
    )


def test_a_search_that_confirms_nothing_says_so(study_of: StudyOf, store: Store) -> None:
    run = searched(study_of("search.trials=2"), store)
    assert run.confirmed is None
    assert "**Not confirmed.**" in run.report.read_text()
    assert confirmed(prepare(load_study(run.report.parent / "best.yaml"), store), "val/roc_auc") is None


def test_a_search_whose_epochs_were_chosen_by_their_own_score_says_so(study_of: StudyOf, store: Store) -> None:
    run = searched(study_of("search.trials=1", "base.select_epoch=best"), store)
    assert "**Optimistic choice.**" in run.report.read_text()
    assert "**Rehearsal.** Less was run than the study says: search.trials 1 of 6." in run.report.read_text()
    assert pd.read_csv(run.report.parent / "trials.csv")["mark"].tolist() == [
        f"SYNTHETIC DATA; REHEARSAL: search.trials 1 of 6; {BEST_EPOCH}"
    ]


def test_a_lower_target_than_the_trials_that_are_there_is_no_rehearsal(
    done: tuple[Study, Store, SearchRun], study_of: StudyOf
) -> None:
    _, store, run = done
    fewer = prepare(study_of("search.trials=3", CONFIRM[1]), store)
    assert trial_marks(fewer, run.results[:3]).of_study == ("SYNTHETIC DATA", "REHEARSAL: search.trials 3 of 6")
    assert len(run.results) == 12
    assert trial_marks(fewer, run.results).of_study == ("SYNTHETIC DATA",)


def test_the_report_of_a_search_says_what_was_done(done: tuple[Study, Store, SearchRun]) -> None:
    study, _, run = done
    settings = pd.read_csv(run.report.with_name("settings.csv"), dtype=str).set_index("setting")["value"]
    assert settings[["backbone", "trainable", "epochs", "folds.k"]].tolist() == ["test_resnet", "head", "1", "2"]
    assert not {"dropout", "learning_rate"} & {*settings.index}, "the trials vary them"
    commands = pd.read_csv(run.report.with_name("commands.csv"))
    assert commands["fits"].tolist() == [sum(result.folds for result in run.results)]
    assert run.report.read_text().endswith(f"```yaml\n{study.text}```\n")


def test_numbers_drawn_from_a_range_are_shown_in_the_digits_that_keep_them_apart(
    done: tuple[Study, Store, SearchRun],
) -> None:
    study, _, run = done
    frame = (
        trials_frame(Marks(study, ()), run.results)
        .head(2)
        .assign(dropout=[0.5, 0.500001], learning_rate=[1 / 3, np.nan])
    )
    board = shown(study, frame)
    assert board["dropout"].tolist() == ["0.5", "0.500001"]
    assert board["learning_rate"].tolist() == ["0.3333", "-"]


def test_the_report_counts_what_was_fitted(done: tuple[Study, Store, SearchRun]) -> None:
    _, store, run = done
    found = re.search(r"(\d+) of (\d+) fold fits", run.report.read_text())
    assert found is not None
    fitted = {job.id for r in run.results for job in r.jobs if Ledger(store).done(job.id)}
    assert (int(found[1]), int(found[2])) == (len(fitted), 24)
    assert len(fitted) < 24, "nothing was pruned; the test needs a trial that is"
    table = pd.read_csv(run.report.parent / "trials.csv")
    assert table["state"].value_counts().to_dict() == {
        "complete": sum(r.state == "complete" for r in run.results),
        "pruned": sum(r.state == "pruned" for r in run.results),
    }
    assert table["val/roc_auc"].iloc[0] == table["val/roc_auc"].max()
    assert table["val/roc_auc"].notna().equals(table["state"] == "complete")


def test_figures_and_report_are_on_the_search_s_run(done: tuple[Study, Store, SearchRun]) -> None:
    from mlflow import MlflowClient

    _, store, run = done
    (search,) = runs_of(store, "search")
    files = {Path(f.path).name for f in MlflowClient(store.database_uri).list_artifacts(search.info.run_id, "report")}
    wanted = {"report.md", "trials.csv", "best.yaml", "search.html", "history.png", "parallel.png", "slice.png"}
    assert wanted <= files
    page = (run.report.parent / "search.html").read_text()
    assert page.count("Plotly.newPlot(") >= 4
    assert "<script src=" not in page, "the page must open without a network"


def test_a_pruned_trial_never_wins(done: tuple[Study, Store, SearchRun]) -> None:
    study, _, run = done
    best = best_trial(study, run.results)
    assert best is not None and best.state == "complete"
    high = [r.means[-1] for r in run.results if r.state == "pruned"]
    assert high
    frame = trials_frame(Marks(study, ()), run.results)
    states = list(frame["state"])
    assert states == sorted(states)  # complete before pruned


def test_importances_are_shares_of_all_parameters(done: tuple[Study, Store, SearchRun]) -> None:
    study, store, run = done
    complete = sum(r.state == "complete" for r in run.results)
    shares = importances(study, queue_of(study, store))
    if complete < 8:
        assert shares == {}
        assert "No importances" in run.report.read_text()
    else:
        assert set(shares) == {"head", "dropout", "learning_rate"}
        assert sum(shares.values()) == pytest.approx(1)


def test_importances_find_what_matters(study_of: StudyOf, store: Store) -> None:
    import optuna

    queue = queue_of(study_of("search.pruner=none"), store)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "head": optuna.distributions.CategoricalDistribution(["dropout-gap", "batchnorm-gap"]),
        "dropout": optuna.distributions.FloatDistribution(0.1, 0.7),
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
    }
    for number in range(24):
        head = ["dropout-gap", "batchnorm-gap"][number % 2]
        rate = 1e-4 * 100 ** (number / 23)
        params = {"head": head, "learning_rate": rate} | ({"dropout": 0.1 + 0.02 * number} if number % 2 == 0 else {})
        active = {key: space[key] for key in params}
        value = 0.9 if head == "dropout-gap" else 0.5 + 0.01 * (number % 3)
        trial = optuna.create_trial(params=params, distributions=active, value=value, user_attrs={"slot": number})
        queue.optuna_study.add_trial(trial)
    shares = importances(study_of("search.pruner=none"), queue)
    assert next(iter(shares)) == "head"
    assert set(shares) == set(space)


def test_the_front_of_two_objectives_is_in_the_report(study_of: StudyOf, store: Store) -> None:
    study = study_of(
        "search.objective={metric: val/roc_auc, cost: parameters}", "search.sampler=grid",
        "search.space={head: {choices: [dropout-gap, dropout-flatten]}}",
    )  # fmt: skip
    run = searched(study, store)
    assert (run.report.parent / "pareto.png").is_file()
    assert pareto_front(study, run.results)
