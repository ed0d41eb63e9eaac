from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.study import Study, load_study
from harness.study.search_block import Search

LoadText = Callable[[str], Study]

HEAD = """\
study: demo
data: {source: phantom, image_size: 32}
base: {backbone: test_resnet, weights: none, head: dropout-gap, dropout: 0.5, learning_rate: 1.0e-3}
stages: [{name: only}]
search:
"""
SPACE = """\
  space:
    dropout: {low: 0.1, high: 0.7, when: {head: [dropout-gap, dropout-flatten]}}
    head: {choices: [dropout-gap, batchnorm-gap]}
    learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
    epochs: {low: 1, high: 9}
"""
REST = "  trials: 40\n"


@pytest.fixture
def study_of(tmp_path: Path) -> LoadText:
    def load(search: str) -> Study:
        file = tmp_path / "demo.yaml"
        file.write_text(HEAD + search)
        return load_study(file)

    return load


def search_of(study: Study) -> Search:
    assert study.search is not None
    return study.search


def test_a_search_has_the_defaults(study_of: LoadText) -> None:
    search = search_of(study_of(SPACE + REST))
    assert (search.sampler, search.prunes, search.target(), search.seed) == ("tpe", True, 40, 0)
    assert (search.objective.metric, search.objective.maximize) == ("val/accuracy", True)
    assert search.space["epochs"].whole and not search.space["dropout"].whole
    assert search.confirm is None


def test_a_parameter_comes_after_its_condition_and_only_where_it_holds(study_of: LoadText) -> None:
    search = search_of(study_of(SPACE + REST))
    assert search.order.index("head") < search.order.index("dropout")
    base = {"head": "dropout-gap", "dropout": 0.5, "learning_rate": 1e-3, "epochs": 3}
    assert search.complete({}, base) == base
    assert search.complete({"head": "batchnorm-gap", "epochs": 4}, base) == {
        "head": "batchnorm-gap", "learning_rate": 1e-3, "epochs": 4,
    }  # fmt: skip


def test_a_condition_on_an_inactive_parameter_does_not_hold(study_of: LoadText) -> None:
    text = """\
  space:
    head: {choices: [dropout-gap, batchnorm-gap]}
    optimizer: {choices: [adam, sgd], when: {head: [dropout-gap]}}
    weight_decay: {low: 0.0, high: 0.1, when: {optimizer: [sgd]}}
  trials: 3
"""
    search = search_of(study_of(text))
    base = {"optimizer": "sgd", "weight_decay": 0.0}
    assert set(search.complete({"head": "batchnorm-gap"}, base)) == {"head"}
    assert set(search.complete({"head": "dropout-gap"}, base)) == {"head", "optimizer", "weight_decay"}


def test_a_grid_has_every_point_once(study_of: LoadText) -> None:
    text = """\
  space:
    head: {choices: [dropout-gap, batchnorm-gap]}
    dropout: {low: 0.1, high: 0.5, step: 0.2, when: {head: [dropout-gap]}}
    epochs: {low: 2, high: 4, step: 2}
  sampler: grid
"""
    search = search_of(study_of(text))
    dropouts = [{"head": "dropout-gap", "dropout": d, "epochs": e} for d in (0.1, 0.3, 0.5) for e in (2, 4)]
    batchnorms = [{"head": "batchnorm-gap", "epochs": e} for e in (2, 4)]
    points = search.points()
    assert len(points) == 8
    assert all(point in points for point in dropouts + batchnorms)
    targets = [search.model_copy(update={"trials": trials}).target() for trials in (None, 3, 99)]
    assert targets == [8, 3, 8]


@pytest.mark.parametrize(
    ("space", "line", "message"),
    [
        ("  space: {}\n", 6, "search.space: {} is given"),
        ("  space: {head: [a, b]}\n", 6, "search.space.head: ['a', 'b'] is given"),
        (
            "  space: {heads: {choices: [a]}}\n",
            6,
            "search.space.heads: unknown setting 'heads'; did you mean head or head_epochs?",
        ),
        ("  space: {dropout: {low: 0.1}}\n", 6, "search.space.dropout: {'low': 0.1} is given; give `choices: [...]`"),
        ("  space: {dropout: {low: 0.5, high: 0.1}}\n", 6, "low 0.5 must be less than high 0.1"),
        ("  space: {dropout: {low: 0.1, high: 1.5}}\n", 6, "search.space.dropout.high: 1.5 is given"),
        ("  space: {dropout: {low: 0, high: 0.5, log: true}}\n", 6, "low 0 must be more than 0 on a log scale"),
        ("  space: {learning_rate: {low: 1, high: 2, log: true, step: 1}}\n", 6, "log or step, not both"),
        ("  space: {dropout: {low: 0.1, high: 0.5, choices: [0.1]}}\n", 6, "choices stand alone"),
        ("  space: {dropout: {low: 0.1, hihg: 0.5}}\n", 6, "unknown key 'hihg'; did you mean high?"),
        ("  space: {dropout: {low: .nan, high: 0.5}}\n", 6, "search.space.dropout.low"),
        ("  space: {image_size: {low: 4, high: 64, step: 4}}\n", 6, "search.space.image_size.low: 4 is given"),
        ("  space: {oversampling_ratio: {low: 0.0, high: 1.0}}\n", 6, "search.space.oversampling_ratio.low: 0.0 is"),
        ("  space: {epochs: {low: 1.5, high: 3}}\n", 6, "search.space.epochs.low: 1.5 is given"),
        ("  space: {epochs: {low: 1, high: 3, step: 0.5}}\n", 6, "search.space.epochs.step"),
        ("  space: {head: {low: 1, high: 3}}\n", 6, "search.space.head.low: 1 is given"),
        ("  space: {epochs: {choices: [1, two]}}\n", 6, "search.space.epochs.choices[1]: 'two' is given"),
        ("  space: {epochs: {choices: [1, 1]}}\n", 6, "search.space.epochs.choices[1]: 1 stands in this list twice"),
        ("  space: {epochs: {choices: []}}\n", 6, "search.space.epochs.choices: [] is given"),
        ("  space: {image_size: {low: 32, high: 64}}\n", 6, "search.space.image_size: give a step, such as 32"),
        ("  space:\n    dropout: {low: 0.1, high: 0.5, when: {head: [dropout-gap]}}\n", 7,
         "search.space.dropout.when.head: head is not in the space"),
        ("  space:\n    epochs: {low: 1, high: 3}\n    dropout: {low: 0.1, high: 0.5, when: {epochs: [1]}}\n", 8,
         "search.space.dropout.when.epochs: epochs is a range"),
        ("  space:\n    head: {choices: [dropout-gap]}\n    dropout: {low: 0.1, high: 0.5, when: {head: [x]}}\n", 8,
         "search.space.dropout.when.head: head is never x"),
        ("  space:\n    head: {choices: [dropout-gap], when: {optimizer: [sgd]}}\n"
         "    optimizer: {choices: [sgd], when: {head: [dropout-gap]}}\n", 6, "the conditions go in a circle"),
    ],
)  # fmt: skip
def test_a_malformed_space_is_refused_in_one_line(study_of: LoadText, space: str, line: int, message: str) -> None:
    with pytest.raises(StudyError) as refused:
        study_of(space + REST)
    text = str(refused.value)
    assert f"demo.yaml:{line}: search.space" in text
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "search.trials: this key is missing"),
        ("  trials: 0\n", "search.trials: 0 is given"),
        ("  trials: 5\n  sampler: bayes\n", "search.sampler: bayes is given; allowed: tpe, gp, random, grid"),
        ("  sampler: grid\n", "search.space.dropout: a grid needs choices, or a step in the range"),
        ("  trials: 5\n  objective: {metric: val/acc}\n", "search.objective.metric"),
        ("  trials: 5\n  objective: {metric: test/accuracy}\n", "search.objective.metric"),
        ("  trials: 5\n  objective: {metric: val/loss, direction: maximize}\n", "val/loss is better the lower"),
        ("  trials: 5\n  objective: {cost: parameters}\n  pruner: median\n", "search.pruner: median is given"),
        ("  trials: 5\n  enqueue: [{heads: a}]\n", "search.enqueue[0].heads: heads is not in the space"),
        ("  trials: 5\n  enqueue: [{dropout: 0.9, epochs: 2}]\n", "search.enqueue[0].dropout: 0.9 is given; it is"),
        ("  trials: 5\n  enqueue: [{}]\n", "search.enqueue[0].epochs: 15 is base.epochs, as the point does not"),
        ("  trials: 5\n  enqueue: [{head: batchnorm-gap, dropout: 0.2, epochs: 2}]\n",
         "search.enqueue[0].dropout: dropout does not exist at this point"),
        ("  trials: 5\n  confirm: {repeat: 3}\n", "search.confirm.repeat: unknown key 'repeat'"),
        ("  trials: 5\n  timeout: 0\n", "search.timeout: 0 is given"),
    ],
)  # fmt: skip
def test_a_malformed_search_is_refused_in_one_line(study_of: LoadText, rest: str, message: str) -> None:
    with pytest.raises(StudyError) as refused:
        study_of(SPACE + rest)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_huge_grid_is_refused_before_it_is_made(study_of: LoadText) -> None:
    with pytest.raises(StudyError, match="at most 10,000"):
        study_of("  space: {epochs: {low: 1, high: 100000, step: 1}}\n  sampler: grid\n")


def test_two_objectives_are_not_pruned(study_of: LoadText) -> None:
    assert not search_of(study_of(SPACE + REST + "  objective: {cost: parameters}\n")).prunes
