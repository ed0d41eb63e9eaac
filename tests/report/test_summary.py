import re
from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from harness.prepare import prepare
from harness.report.numbers.records import Statistics
from harness.report.sections.answer import difference_lines
from harness.report.sections.summary import summary_lines
from harness.store import Store
from harness.study import Study
from harness.study.state import StudyState
from tests.conftest import Finished, runs_of
from tests.report.test_write import written


def summary_of(text: str) -> str:
    return text.partition("## Summary")[2].partition("## ")[0]


def test_the_summary_says_what_was_run_who_won_and_what_the_test_set_says(finished: Finished) -> None:
    words = summary_of(finished.run.report.read_text())
    assert "3 scenarios (head x oversampling) over 2 folds of 48 training images" in words
    assert "all 6 fits are done" in words
    for state in finished.run.state.stages:
        assert state.top is not None and state.stage.select is not None
        mean = state.top.summary[f"{state.stage.select.metric}_mean"]
        assert f"Stage {state.stage.name}: {state.top.name} has the best mean" in words
        assert f" {mean:.3f} (SD " in words
    (test,) = finished.run.state.tests
    path = finished.run.report.parent / f"test-confusion-{test.id}.csv"
    confusion = pd.read_csv(path, index_col=0).drop(columns="mark").to_numpy()
    assert f"{confusion.trace()} of 24 images correct" in words
    assert "always predicting the most frequent class of training gives 75.0%" in words
    assert words.count(f"{confusion.trace() / 24:.1%} of 24 images") == 1, "the answer has the share with its interval"
    assert f"Test set: {confusion.trace()} of 24 images correct; always" in words, "and the list does not repeat it"
    last = next(
        line for line in words.splitlines() if line.startswith(f"- Stage {finished.run.state.stages[-1].stage.name}")
    )
    assert "distinguishable" not in last and "every other" not in last
    for index, name in enumerate(("NORMAL", "PNEUMONIA")):
        assert f"{confusion[index, index]} of {confusion[index].sum()} {name}, " in words


def test_the_summary_and_the_checklist_say_what_a_clinic_asks(finished: Finished) -> None:
    words, (test,) = summary_of(finished.run.report.read_text()), finished.run.state.tests
    table = pd.read_csv(finished.run.report.parent / f"thresholds-test-{test.id}.csv")
    point = table["at"].iloc[-1]
    (row,) = table[(table["at"] == point) & (table["metric"] == "recall")].to_dict("records")
    sensitivity = f"sensitivity {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    checklist = (finished.run.report.parent / "checklist.md").read_text()
    for text in (words, checklist):
        assert f"At the operating point {point:.3f} for PNEUMONIA" in text
        assert sensitivity in text


def test_a_study_that_was_not_run_promises_nothing(small_study: Callable[..., Study], store: Store) -> None:
    words = summary_of(written(small_study(), store))
    assert "2 scenarios" in words
    assert "**0 of 4 fits are done**" in words
    assert "Stage sampling waits for the winner of stage heads." in words
    assert not re.search(r"best mean|Test set", words)


def test_a_leaking_winner_is_marked(small_study: Callable[..., Study], finished: Finished) -> None:
    study = small_study("folds.grouped=false")
    none = Statistics(kind="study", name="small")
    lines = summary_lines(
        replace(prepare(finished.study, finished.store), study=study), StudyState(finished.run.state.stages), none
    )
    assert all("PATIENTS TORN APART" in line for line in lines if line.startswith("- Stage"))


def test_a_best_mean_that_others_have_too_is_said_to_be_shared(finished: Finished) -> None:
    state = finished.run.state.stages[0]
    top, other = state.scenarios[0], state.scenarios[1]
    same = replace(other, records={b.id: top.records[a.id] for a, b in zip(top.jobs, other.jobs, strict=True)})
    stage, none = replace(state, scenarios=(top, same)), Statistics(kind="study", name="small")
    lines = " ".join(summary_lines(finished.run.workspace, StudyState((stage,)), none))
    assert ", and so has the only other: of these the first in the file is taken" in lines
    assert (
        "; 0 of 1 equivalent to it within 0.01, 1 of 1 not known, as the folds show no spread of the difference"
        in lines
    )
    assert "shows no spread, so it has no interval" in " ".join(difference_lines(stage))
    flat = any(contest.chances is None for contest in state.contests)
    assert ("no spread" in " ".join(difference_lines(state))) == flat
    as_it_is = " ".join(summary_lines(finished.run.workspace, StudyState((state,)), none))
    assert "has the best mean" in as_it_is and "and so ha" not in as_it_is
    assert ("no spread" in as_it_is) == flat


def test_the_study_run_in_mlflow_is_described_by_it(finished: Finished) -> None:
    (run,) = runs_of(finished.store, "study")
    note = run.data.tags["mlflow.note.content"]
    words = summary_of(finished.run.report.read_text())
    assert words[words.index("\n- ") :].strip() in note
    assert words.strip().splitlines()[0] in note, "the answer"
    assert note.startswith("**SYNTHETIC DATA.**")
    assert "report/index.html" in note


def test_the_summary_says_in_what_the_selected_scenario_is_the_cheapest(finished: Finished) -> None:
    state = finished.run.state.stages[0]
    top = state.top
    assert top is not None and state.stage.select is not None and len(state.scenarios) == 2
    metric = state.stage.select.metric
    slow = {
        key: replace(
            record,
            metrics={**record.metrics, metric: 0.9 if key in top.records else 0.85 + 0.04 * number},
            facts=replace(record.facts, seconds=1e6 if key in top.records else 1.0),
        )
        for scenario in state.scenarios
        for number, (key, record) in enumerate(scenario.records.items())
    }
    scenarios = tuple(replace(s, records={key: slow[key] for key in s.records}) for s in state.scenarios)
    (other,) = (s.name for s in scenarios if s.id != top.id)
    for cost, words in (("seconds", " in seconds"), ("parameters", "")):
        select = state.stage.select.model_copy(update={"rule": "cheapest-equivalent", "cost": cost, "margin": 1.0})
        stage = replace(state, stage=state.stage.model_copy(update={"select": select}), scenarios=scenarios)
        lines = summary_lines(finished.run.workspace, StudyState((stage,)), Statistics(kind="study", name="small"))
        chosen = stage.best.name if stage.best else ""
        expected = f"The cheapest equivalent{words}, {chosen}, is selected."
        assert (expected in " ".join(lines)) == (chosen != top.name)
        assert cost != "seconds" or chosen == other
