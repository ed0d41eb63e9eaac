from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.store import Ledger, Store
from harness.store.results import FoldRecord, FoldResult
from harness.study import Study
from harness.study.identity import Digests
from harness.study.mixed import require_one_code
from harness.study.plan import Job
from harness.study.reader import StateReader
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState, all_scenarios
from tests.conftest import fit_facts

LoadText = Callable[..., Study]

DIGESTS = Digests(
    manifest="images",
    folds={(0, fold): f"rows {fold}" for fold in range(3)},
    weights={(f"resnet{depth}", "none"): "none" for depth in (18, 34)},
)
TEXT = """\
study: demo
data: {source: phantom}
folds: {k: 3}
base: {backbone: resnet18, weights: none}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap, dropout-flatten]}
    select: {metric: val/accuracy}
  - name: looking
    grid: {epochs: [1, 2]}
  - name: depths
    grid: {backbone: [resnet18, resnet34]}
    select: {metric: val/loss}
  - name: sampling
    grid: {oversampling: [none, random]}
test: {stages: [heads, depths]}
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Store(tmp_path / "store"))


def save(ledger: Ledger, job: Job, **metrics: float) -> None:
    named = {f"val/{name}": value for name, value in metrics.items()}
    record = FoldRecord(job.id, [named], 1, named, {}, fit_facts())
    ledger.save(FoldResult(record, pd.DataFrame({"image": ["a"]})))


def finish(ledger: Ledger, state: ScenarioState, accuracy: Sequence[float], loss: Sequence[float] = ()) -> None:
    """Saves the jobs of a scenario, as many as there are accuracies."""
    for job, a, b in zip(state.jobs, accuracy, loss or accuracy, strict=False):
        save(ledger, job, accuracy=a, loss=b)


def first(study: Study, ledger: Ledger) -> StageState:
    return StateReader(study, DIGESTS, ledger).stage(study.stages[0], None)


def heads_after(study: Study, ledger: Ledger, *accuracies: Sequence[float]) -> StageState:
    """The first stage after its scenarios came to these accuracies."""
    for state, accuracy in zip(first(study, ledger).scenarios, accuracies, strict=True):
        finish(ledger, state, accuracy)
    return first(study, ledger)


def waits(states: Sequence[StageState]) -> dict[str, str | None]:
    return {state.stage.name: state.waits_for for state in states}


def winner(state: StageState) -> str | None:
    return state.best.settings.head if state.best else None


def test_a_stage_without_records_has_all_its_jobs_missing(study_of: LoadText, ledger: Ledger) -> None:
    state = first(study_of(TEXT), ledger)
    assert [len(scenario.jobs) for scenario in state.scenarios] == [3, 3, 3]
    assert state.missing == [job for scenario in state.scenarios for job in scenario.jobs]
    assert not state.finished
    assert state.best is None
    assert [scenario.summary for scenario in state.scenarios] == [{}, {}, {}]


def test_missing_are_the_jobs_that_are_not_done(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    every = [job for scenario in first(study, ledger).scenarios for job in scenario.jobs]
    for job in every[1::2]:
        save(ledger, job, accuracy=0.5)
    assert first(study, ledger).missing == every[::2]


def test_mean_and_standard_deviation_are_over_the_folds(study_of: LoadText, ledger: Ledger) -> None:
    values, losses = [0.9, 0.7, 0.85], [0.3, 0.1, 0.25]
    study = study_of(TEXT)
    finish(ledger, first(study, ledger).scenarios[0], values, losses)
    summary = first(study, ledger).scenarios[0].summary
    assert set(summary) == {"val/accuracy_mean", "val/accuracy_std", "val/loss_mean", "val/loss_std"}
    assert summary["val/accuracy_mean"] == pytest.approx(np.mean(values), abs=1e-15)
    assert summary["val/accuracy_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-15)
    assert summary["val/loss_std"] == pytest.approx(np.std(losses, ddof=1), abs=1e-15)


def test_a_single_fold_has_a_mean_and_no_standard_deviation(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    finish(ledger, first(study, ledger).scenarios[0], [0.9])
    assert first(study, ledger).scenarios[0].summary == {"val/accuracy_mean": 0.9, "val/loss_mean": 0.9}


@pytest.mark.parametrize(
    ("metric", "accuracies", "expected"),
    [
        ("val/accuracy", [(0.5, 0.5, 0.5), (0.9, 0.1, 0.8), (0.4, 0.4, 0.4)], "batchnorm-gap"),
        ("val/loss", [(0.5, 0.5, 0.5), (0.9, 0.1, 0.8), (0.4, 0.4, 0.4)], "dropout-flatten"),
        ("val/accuracy", [(0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)], "dropout-gap"),
        ("val/loss", [(0.6, 0.6, 0.6), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)], "batchnorm-gap"),
        ("val/accuracy", [(0.5, 0.5, 0.5), (0.99, 0.99), (0.4, 0.4, 0.4)], "dropout-gap"),
        ("val/loss", [(0.01, 0.01), (0.5, 0.5, 0.5), (0.4, 0.4, 0.4)], "dropout-flatten"),
        ("val/accuracy", [(0.9, 0.9), (0.9,), ()], None),
    ],
    ids=["highest", "lowest", "tie of all", "tie of two", "unfinished high", "unfinished low", "none finished"],
)
def test_the_winner_is_the_best_finished_scenario_the_first_of_equals(
    study_of: LoadText, ledger: Ledger, metric: str, accuracies: list[tuple[float, ...]], expected: str | None
) -> None:
    state = heads_after(study_of(TEXT, f"stages.0.select.metric={metric}"), ledger, *accuracies)
    assert winner(state) == expected
    assert state.finished is all(len(values) == 3 for values in accuracies)


def test_a_stage_that_selects_nothing_has_no_winner(study_of: LoadText, ledger: Ledger) -> None:
    state = heads_after(study_of(TEXT, "stages.0.select=null", "test.stages=[depths]"), ledger, *[(0.5,) * 3] * 3)
    assert state.finished
    assert state.best is None


def test_every_later_stage_waits_for_the_first_that_has_no_winner(study_of: LoadText, ledger: Ledger) -> None:
    states = StateReader(study_of(TEXT), DIGESTS, ledger).read().stages
    assert waits(states) == {"heads": None, "looking": "heads", "depths": "heads", "sampling": "heads"}
    assert [len(state.scenarios) for state in states] == [3, 0, 0, 0]
    assert not any(state.finished for state in states)


def test_a_stage_hands_its_winner_on_when_all_its_jobs_are_done(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    heads_after(study, ledger, (0.5,) * 3, (0.9,) * 3, (0.95,) * 2)
    assert waits(StateReader(study, DIGESTS, ledger).read().stages)["looking"] == "heads"
    finish(ledger, first(study, ledger).scenarios[2], (0.1,) * 3)
    states = StateReader(study, DIGESTS, ledger).read().stages
    assert waits(states) == {"heads": None, "looking": None, "depths": None, "sampling": "depths"}
    for state in states[1:3]:
        assert {scenario.settings.head for scenario in state.scenarios} == {"batchnorm-gap"}


def test_a_stage_that_selects_nothing_is_not_waited_for_and_hands_nothing_on(
    study_of: LoadText, ledger: Ledger
) -> None:
    study = study_of(TEXT)
    heads_after(study, ledger, (0.5,) * 3, (0.9,) * 3, (0.1,) * 3)
    looking, depths = StateReader(study, DIGESTS, ledger).read().stages[1:3]
    assert not looking.finished
    assert {scenario.settings.epochs for scenario in depths.scenarios} == {15}


def test_what_two_stages_share_is_done_in_both(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    heads_after(study, ledger, (0.5,) * 3, (0.9,) * 3, (0.1,) * 3)
    depths = StateReader(study, DIGESTS, ledger).read().stages[2]
    assert [scenario.finished for scenario in depths.scenarios] == [True, False]


def test_each_winner_starts_the_next_stage(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    heads_after(study, ledger, (0.5,) * 3, (0.9,) * 3, (0.1,) * 3)
    finish(ledger, StateReader(study, DIGESTS, ledger).read().stages[2].scenarios[1], (0.9,) * 3, loss=(0.01,) * 3)
    sampling = StateReader(study, DIGESTS, ledger).read().stages[3]
    assert [(s.settings.head, s.settings.backbone) for s in sampling.scenarios] == [("batchnorm-gap", "resnet34")] * 2


def test_provisionally_the_best_so_far_stands_in_for_a_winner(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    heads_after(study, ledger, (0.5,) * 3, (0.4,) * 3, (0.9,) * 2)
    assert waits(StateReader(study, DIGESTS, ledger).read().stages)["depths"] == "heads"
    states = StateReader(study, DIGESTS, ledger).read(provisional=True).stages
    assert waits(states)["depths"] is None
    assert {s.settings.head for s in states[2].scenarios} == {"dropout-gap"}


def test_provisionally_too_a_stage_waits_where_nothing_is_finished(study_of: LoadText, ledger: Ledger) -> None:
    assert waits(StateReader(study_of(TEXT), DIGESTS, ledger).read(provisional=True).stages)["sampling"] == "heads"


def test_all_scenarios_are_listed_once_with_their_stages(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    heads_after(study, ledger, (0.9,) * 3, (0.5,) * 3, (0.1,) * 3)
    found = list(all_scenarios(StateReader(study, DIGESTS, ledger).read().stages))
    assert [names for _, names in found] == [
        ["heads", "depths"],
        ["heads"],
        ["heads"],
        ["looking"],
        ["looking"],
        ["depths"],
    ]
    assert len({state.id for state, _ in found}) == len(found)


def test_only_winners_of_finished_stages_are_tested(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)

    def tested() -> list[tuple[str, str]]:
        found = StateReader(study, DIGESTS, ledger).read(provisional=True).tests
        assert all([job.evaluate for job in state.jobs] == ["test"] for state in found)
        return [(s.settings.head, s.settings.backbone) for s in found]

    heads_after(study, ledger, (0.5,) * 3, (0.9,) * 3, (0.1,) * 2)
    assert tested() == []
    finish(ledger, first(study, ledger).scenarios[2], (0.1,) * 3)
    assert tested() == [("batchnorm-gap", "resnet18")]
    finish(ledger, StateReader(study, DIGESTS, ledger).read().stages[2].scenarios[1], (0.9,) * 3, loss=(0.01,) * 3)
    assert tested() == [("batchnorm-gap", "resnet18"), ("batchnorm-gap", "resnet34")]


def test_a_scenario_that_wins_two_stages_is_tested_once(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT)
    heads_after(study, ledger, (0.5,) * 3, (0.9,) * 3, (0.1,) * 3)
    finish(ledger, StateReader(study, DIGESTS, ledger).read().stages[2].scenarios[1], (0.9,) * 3, loss=(1.0,) * 3)
    (test,) = StateReader(study, DIGESTS, ledger).read().tests
    assert not test.finished
    save(ledger, test.jobs[0], accuracy=0.5)
    (test,) = StateReader(study, DIGESTS, ledger).read().tests
    assert test.finished


def test_without_a_test_block_nothing_is_tested(study_of: LoadText, ledger: Ledger) -> None:
    study = study_of(TEXT, "test=null")
    heads_after(study, ledger, (0.5,) * 3, (0.9,) * 3, (0.1,) * 3)
    assert StateReader(study, DIGESTS, ledger).read().tests == ()


def test_a_finished_stage_on_a_provisional_winner_is_not_tested(study_of: LoadText, ledger: Ledger) -> None:
    """A retry of the missing fit may name another winner: the test set would be opened for a choice not yet made."""
    study = study_of(TEXT)
    heads = heads_after(study, ledger, [0.9] * 3, [0.8] * 3, [0.7] * 2)
    assert not heads.finished
    for state in StateReader(study, DIGESTS, ledger).read(provisional=True).stages[2].scenarios:
        finish(ledger, state, [0.9] * 3)
    found = StateReader(study, DIGESTS, ledger).read(provisional=True)
    assert found.stages[2].finished
    assert found.tests == ()
    save(ledger, heads.missing[0], accuracy=0.7, loss=0.7)
    assert len(StateReader(study, DIGESTS, ledger).read(provisional=True).tests) == 1  # one scenario wins both stages


def with_code(state: ScenarioState, *codes: str) -> ScenarioState:
    """The scenario with fits by this code, as many as there are codes; one of no code is from before it was noted."""
    records = {
        job.id: FoldRecord(job.id, [], 1, {}, {}, fit_facts(code=code or None))
        for job, code in zip(state.jobs, codes, strict=False)
    }
    return replace(state, records=records)


def test_fits_by_different_code_never_stand_in_one_table(study_of: LoadText, ledger: Ledger) -> None:
    state = first(study_of(TEXT), ledger)
    one, other = state.scenarios[:2]
    require_one_code([with_code(one, "new", "new"), with_code(other, "", "new")], "new")
    for states, coming in (
        ([with_code(one, "old", "new")], None),
        ([with_code(one, "old"), with_code(other, "new")], None),
        ([with_code(one, "old"), other], "new"),
    ):
        with pytest.raises(HarnessError, match=r"made \(.*1 by old.*\), and one table never mixes code"):
            require_one_code(states, coming)
