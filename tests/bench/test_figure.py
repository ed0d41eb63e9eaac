from typing import Literal

import pytest

from tests.bench.figure import Goal, Row, in_turns, ratio


@pytest.mark.parametrize(
    ("sign", "number", "value", "verdict"),
    [
        (">=", 100, 100, "met"), (">=", 100, 80, "missed by x1.25"), ("<=", 1.2, 1.0, "met"),
        ("<=", 1.2, 1.8, "missed by x1.50"), ("==", 1, 1, "met"), ("==", 1, 3, "missed by x3.00"),
        ("==", 0, 0.5, "missed"),
    ],
)  # fmt: skip
def test_a_goal_is_met_or_missed_by_a_factor(
    sign: Literal[">=", "<=", "=="], number: float, value: float, verdict: str
) -> None:
    assert Goal(sign, number).verdict(value) == verdict


def test_a_figure_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert Row("speed", None, "no GPU", Goal(">=", 2)).verdict == "not measured"
    assert Row("speed", 3.0, "nothing was promised").verdict == ""


@pytest.mark.long
def test_ways_take_turns_and_every_round_is_timed() -> None:
    called: list[str] = []
    times = in_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3)
    assert called == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_of_the_medians_and_its_range_is_over_the_rounds() -> None:
    row = ratio("theirs / ours", [4.0, 9.0, 8.0], [2.0, 3.0, 8.0], Goal(">=", 2), "the same steps", images=7)
    assert (row.value, row.low, row.high, row.rounds) == (8 / 3, 1.0, 3.0, 3)
    assert row.verdict == "met"
    assert row.parts == {"over_s": [4.0, 9.0, 8.0], "under_s": [2.0, 3.0, 8.0], "images": 7}
