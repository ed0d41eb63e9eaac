import optuna
import pytest
from optuna.trial import TrialState, create_trial

from harness.search.samplers import STARTUP_TRIALS, FoldMedian, suggest
from harness.study.search_block import Search


def pruned(values: list[float], complete: list[list[float]], maximize: bool = True) -> bool:
    """Whether a trial with these running means is pruned, next to these complete trials."""
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for means in complete:
        study.add_trial(create_trial(value=means[-1], intermediate_values=dict(enumerate(means))))
    for means in ([0.99], [0.99], [0.99]):  # pruned trials are no measure
        study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values=dict(enumerate(means))))
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=dict(enumerate(values)))
    return FoldMedian(maximize).prune(study, trial)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.69], True),
        ([0.70], False),
        ([0.71], False),
        ([0.71, 0.79], True),  # a good first fold protects nobody
        ([0.69, 0.81], False),
    ],
)
def test_a_trial_below_the_median_on_the_same_folds_is_pruned(values: list[float], expected: bool) -> None:
    complete = [[0.70 + d, 0.80 + d] for d in (-0.1, -0.05, 0.0, 0.05, 0.1)]
    assert len(complete) == STARTUP_TRIALS
    assert pruned(values, complete) is expected


def test_lower_is_better_where_the_objective_says_so() -> None:
    complete = [[0.5]] * STARTUP_TRIALS
    assert pruned([0.6], complete, maximize=False)
    assert not pruned([0.4], complete, maximize=False)


def test_nothing_is_pruned_before_enough_trials_are_complete() -> None:
    assert not pruned([0.0], [[0.9]] * (STARTUP_TRIALS - 1))
    assert pruned([0.0], [[0.9]] * STARTUP_TRIALS)


def test_a_trial_that_has_reported_nothing_is_not_pruned() -> None:
    assert not pruned([], [[0.9]] * STARTUP_TRIALS)


def test_a_suggested_value_has_the_type_of_its_setting() -> None:
    space = {
        "image_size": {"low": 24, "high": 48, "step": 8},
        "epochs": {"low": 1, "high": 9},
        "learning_rate": {"low": 1, "high": 2},
        "oversampling_ratio": {"low": 0.5, "high": 1, "step": 0.25},
    }
    search = Search.model_validate({"space": space, "trials": 1})
    point = suggest(search, optuna.create_study().ask())
    assert {key: type(value) for key, value in point.items()} == {
        "image_size": int, "epochs": int, "learning_rate": float, "oversampling_ratio": float,
    }  # fmt: skip
    assert all(search.space[key].holds(value) for key, value in point.items())
