import io

import pandas as pd
import pytest
from rich.console import Console

from harness.cli.show.leaderboard import show_leaderboard

METRICS = ("val/accuracy", "val/balanced_accuracy", "val/f1", "val/roc_auc")
BOARD = pd.DataFrame(
    {"head": head, "oversampling": "none", "folds": "3/3"}
    | {f"{name}{end}": 0.9 for name in METRICS for end in ("", " SD")}
    | {"parameters": 4_049_564.0, "FLOPs": 7.678e8, "fit s": 12.345, "against the best": "cannot resolve"}
    | {"selected": "selected"}
    for head in ("dropout-flatten", "batchnorm-flatten")
)


def printed(board: pd.DataFrame, width: int, metric: str = "val/accuracy") -> list[str]:
    out = io.StringIO()
    show_leaderboard(Console(file=out, width=width), "study, stage heads", board, metric)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "costs"),
    [(80, ["params"]), (100, ["params", "FLOPs", "fit s"]), (240, ["parameters", "FLOPs", "fit s"])],
)
def test_a_leaderboard_has_the_width_of_the_terminal_and_no_cell_is_wrapped(width: int, costs: list[str]) -> None:
    lines = printed(BOARD, width)
    assert all(len(line) <= width for line in lines)
    assert all(f"  {cost}  " in lines[1] for cost in costs)
    assert [line.split()[0] for line in lines[2:4]] == ["dropout-flatten", "batchnorm-flatten"]
    assert "4.05 M" in lines[2]


def test_what_has_no_room_is_named() -> None:
    text = " ".join(" ".join(printed(BOARD, 100)).split())
    assert (
        "no room in 100 columns for val/balanced_accuracy, val/f1, val/roc_auc, folds: they are in the report" in text
    )
    assert "no room" not in " ".join(printed(BOARD, 240))


def test_the_metric_that_ranks_and_the_folds_of_unfinished_scenarios_stay() -> None:
    header = printed(BOARD.assign(folds=["3/3", "1/3"]), 80, "val/f1")[1]
    assert "val/f1" in header
    assert "folds" in header
