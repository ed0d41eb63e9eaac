from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest

from harness.errors import HarnessError
from harness.report.numbers.records import read_statistics
from harness.report.sections.selection_words import selection_words
from harness.stats.paired import corrected_t
from harness.store.results import FoldRecord
from harness.study.plan import Job, Scenario
from harness.study.scenario_state import ScenarioState
from harness.study.settings import ResolvedSettings
from harness.study.stage import Select, Stage
from harness.study.state import StageState
from tests.conftest import ROOT, fit_facts


def scenario(
    name: str,
    accuracies: Sequence[float],
    parameters: int,
    k: int = 3,
    settings: Mapping[str, str] = MappingProxyType({}),
    **cost: float | None,
) -> ScenarioState:
    point = Scenario(name, name, ResolvedSettings(backbone="resnet18", image_size=32).model_copy(update={**settings}))
    jobs = tuple(Job(f"{name}-{i}", point, i // k, i % k, "val", seed=i) for i in range(len(accuracies)))
    records = {
        job.id: FoldRecord(
            job.id, [], 1, {"val/accuracy": value, "val/loss": 1 - value}, {}, fit_facts(parameters=parameters, **cost)
        )
        for job, value in zip(jobs, accuracies, strict=True)
    }
    return ScenarioState(point, jobs, records)


def stage(
    *scenarios: ScenarioState, metric: str = "val/accuracy", rule: str = "best", cost: str = "parameters"
) -> StageState:
    select = Select.model_validate({"metric": metric, "rule": rule, "cost": cost})
    return StageState(Stage(name="s", select=select), scenarios)


BIG = scenario("big", [0.95, 0.96, 0.97], parameters=100)
EQUAL = scenario("equal", [0.949, 0.961, 0.969], parameters=10)
SMALL_AND_WORSE = scenario("worse", [0.75, 0.76, 0.7701], parameters=1)


@pytest.mark.parametrize("metric", ["val/accuracy", "val/loss"])
def test_the_best_mean_wins_by_the_rule_best(metric: str) -> None:
    assert stage(SMALL_AND_WORSE, EQUAL, BIG, metric=metric).best is BIG


@pytest.mark.parametrize("metric", ["val/accuracy", "val/loss"])
def test_the_cheapest_wins_among_those_that_are_equivalent_to_the_best(metric: str) -> None:
    state = stage(SMALL_AND_WORSE, EQUAL, BIG, metric=metric, rule="cheapest-equivalent")
    assert {c.other.name: c.resolved for c in state.contests} == {"worse": True, "equal": False}
    assert {c.other.name: c.practical for c in state.contests} == {"worse": "better", "equal": "equivalent"}
    assert state.top is BIG
    assert state.best is EQUAL


def test_what_the_folds_cannot_tell_from_the_best_need_not_be_equivalent_to_it() -> None:
    unsure = scenario("unsure", [0.94, 0.97, 0.95], parameters=1)
    state = stage(BIG, unsure, rule="cheapest-equivalent")
    assert [(c.resolved, c.practical) for c in state.contests] == [(False, "not known")]
    assert state.best is BIG
    assert "Equivalent to it within 0.01 (Bayesian correlated t): none." in selection_words(state)[0]


def test_the_margin_is_that_of_the_study() -> None:
    select = Select.model_validate({"rule": "cheapest-equivalent", "margin": 0.0005})
    state = StageState(Stage(name="s", select=select), (BIG, EQUAL))
    assert state.best is BIG
    assert select.rule_words == "cheapest-equivalent, margin 0.0005"
    assert "margin" not in Select().model_dump(), "ids of before stay"


def test_on_the_flagship_grid_the_cheapest_equivalent_is_not_the_lowest_mean() -> None:
    """The committed fold values; the heads that pool have fewer parameters. Once the lowest of all was selected."""
    report = ROOT / "studies" / "results" / "pneumonia-frozen"
    found = [e for e in read_statistics(report).estimates if (e.on, e.metric) == ("folds", "accuracy")]
    states = [scenario(e.subject, e.folds or [], 1 if "gap" in e.subject else 9) for e in found]
    lowest = min(states, key=lambda state: state.summary["val/accuracy_mean"])
    state = stage(*states, rule="cheapest-equivalent")
    assert lowest.name in {c.other.name for c in state.contests if not c.resolved}
    assert state.best is not None
    assert state.top is not None
    assert state.best is not lowest
    assert state.top.summary["val/accuracy_mean"] - state.best.summary["val/accuracy_mean"] < 0.01


def test_the_cheapest_rule_keeps_the_best_where_it_is_alone_or_cheapest() -> None:
    assert stage(BIG, rule="cheapest-equivalent").best is BIG
    cheap = scenario("cheap", [0.95, 0.96, 0.97], parameters=1)
    assert stage(EQUAL, cheap, rule="cheapest-equivalent").best is cheap


def test_the_cheapest_is_so_by_the_cost_that_is_asked_for() -> None:
    # one is best, one has the fewest parameters, one the fewest FLOPs, one the least time with its features
    found = {
        "best": scenario("best", [0.95, 0.96, 0.97], 100, flops=100, seconds=50.0),
        "parameters": scenario("parameters", [0.949, 0.961, 0.969], 1, flops=90, seconds=60.0),
        "flops": scenario("flops", [0.949, 0.961, 0.969], 50, flops=1, seconds=5.0, extraction_seconds=90.0),
        "seconds": scenario("seconds", [0.949, 0.961, 0.969], 50, flops=90, seconds=20.0),
    }
    for cost in ("parameters", "flops", "seconds"):
        state = stage(*found.values(), rule="cheapest-equivalent", cost=cost)
        assert state.best is found[cost]
        words = selection_words(state)[-1]
        assert ("machines that made the fits" in words) == (cost == "seconds")
        assert (f"`cheapest-equivalent in {cost}`" in words) == (cost != "parameters")


def test_of_equally_cheap_ones_the_best_is_selected_then_the_first_of_the_grid() -> None:
    best, *others = (
        scenario(name, [0.949 + d, 0.961, 0.969], 7, flops=3) for name, d in (("a", 0.002), ("b", 0), ("c", 0))
    )
    assert stage(*others, best, rule="cheapest-equivalent", cost="flops").best is best
    dear = scenario("dear", [0.95, 0.96, 0.97], 8, flops=9)
    assert stage(dear, *others, rule="cheapest-equivalent", cost="flops").best is others[0]


def test_flops_that_older_fits_did_not_record_select_nothing_in_silence() -> None:
    older = scenario("older", [0.949, 0.961, 0.969], 1)
    with pytest.raises(
        HarnessError, match=r"select\.cost flops, (older|big): the flops of 3 of its fits are not recorded"
    ):
        _ = stage(BIG, older, rule="cheapest-equivalent", cost="flops").best
    assert stage(BIG, older, rule="cheapest-equivalent", cost="seconds").best is BIG


def test_folds_are_paired_and_the_training_sets_overlap_is_counted() -> None:
    (contest,) = stage(BIG, EQUAL).contests
    expected = corrected_t([0.95 - 0.949, 0.96 - 0.961, 0.97 - 0.969], val_to_train=1 / 2)
    assert contest.test == expected


def test_repeats_count_as_folds_of_the_same_k() -> None:
    first = scenario("a", [0.90, 0.93, 0.91, 0.92, 0.95, 0.90], 1)
    (contest,) = stage(first, scenario("b", [0.5] * 6, 1)).contests
    assert contest.test == corrected_t([x - 0.5 for x in (0.90, 0.93, 0.91, 0.92, 0.95, 0.90)], val_to_train=1 / 2)


def test_holm_makes_a_stage_with_more_scenarios_harder_to_decide() -> None:
    near = scenario("near", [0.90, 0.911, 0.922], parameters=1)
    alone = stage(BIG, near).contests[0]
    among = next(c for c in stage(BIG, near, EQUAL, SMALL_AND_WORSE).contests if c.other is near)
    assert among.p_holm == pytest.approx(5 * alone.p_holm), "of six pairs, one of which has a smaller p"


def test_the_report_does_not_name_a_winner_that_the_folds_cannot_tell() -> None:
    words = " ".join(selection_words(stage(BIG, EQUAL, SMALL_AND_WORSE)))
    assert "Cannot resolve a winner" in words
    assert "1 of 2 others" in words
    assert "equal" in words
    decided = " ".join(selection_words(stage(BIG, SMALL_AND_WORSE)))
    assert "Cannot resolve" not in decided
    assert "**big** is better" in decided


def leaking(name: str, accuracies: Sequence[float]) -> ScenarioState:
    state = scenario(name, accuracies, parameters=1)
    settings = state.settings.model_copy(update={"oversampling": "random-before-split"})
    return ScenarioState(Scenario(name, name, settings), state.jobs, state.records)


@pytest.mark.parametrize("rule", ["best", "cheapest-equivalent"])
def test_a_scenario_that_leaks_never_wins_and_takes_no_place_in_the_correction(rule: str) -> None:
    flattered = leaking("flattered", [0.99, 0.99, 1.0])
    with_leak, without = (stage(*s, rule=rule) for s in ((flattered, BIG, EQUAL), (BIG, EQUAL)))
    assert with_leak.best is without.best
    assert with_leak.best is not flattered
    assert with_leak.contests == without.contests
    assert "flattered" not in " ".join(selection_words(with_leak))


def test_a_best_epoch_is_not_selected_beside_last_ones() -> None:
    best = scenario("best", [0.98, 0.99, 0.97], parameters=1, settings={"select_epoch": "best"})
    state = stage(EQUAL, best, BIG)
    assert state.top is BIG
    assert [c.other for c in state.contests] == [EQUAL]
    alone = stage(best, scenario("other", [0.9, 0.9, 0.9], parameters=1, settings={"select_epoch": "best"}))
    assert alone.top is best, "all of them are as optimistic"
