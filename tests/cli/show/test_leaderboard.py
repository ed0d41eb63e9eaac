import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from harness.cli.show.leaderboard import show_leaderboard

FACTORS = ("head", "backbone", "oversampling")
METRICS = ("val/accuracy", "val/balanced_accuracy", "val/f1", "val/roc_auc")
GOLDEN = Path(__file__).with_name("leaderboards")
BOARD = pd.DataFrame(
    {"head": head, "backbone": backbone, "oversampling": "none", "folds": "3/3"}
    | {f"{name}{end}": value for name in METRICS for end, value in (("", mean), (" SD", 0.02))}
    | {"BBC-CV": 0.882 if mean > 0.9 else float("nan")}
    | {"parameters": parameters, "FLOPs": 7.678e8, "fit s": 12.345}
    | {"against the best": "best mean" if mean > 0.9 else "cannot resolve"}
    | {"practically": "" if mean > 0.9 else "not known", "selected": "selected" if mean > 0.9 else ""}
    for head, backbone, mean, parameters in (
        ("dropout-flatten", "efficientnet_lite0", 0.912, 4_049_564.0),
        ("batchnorm-flatten", "efficientnet_lite0", 0.891, 4_051_000.0),
        ("batchnorm-flatten", "vit_small_patch14_dinov2", 0.875, 21_600_000.0),
    )
)


def printed(board: pd.DataFrame, width: int, metric: str = "val/accuracy") -> list[str]:
    out = io.StringIO()
    show_leaderboard(Console(file=out, width=width), "study, stage heads", board, FACTORS, metric)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_leaderboard_looks_as_it_should(width: int) -> None:
    assert printed(BOARD, width) == (GOLDEN / f"{width}.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 240])
def test_no_line_is_wider_than_the_terminal_and_no_level_is_cut(width: int) -> None:
    lines = printed(BOARD, width)
    assert all(len(line) <= width for line in lines)
    assert all(any(level in line for line in lines) for level in BOARD[["head", "backbone"]].to_numpy().flat)


def test_levels_that_have_no_room_stand_below_the_table_by_number() -> None:
    lines = printed(BOARD, 60)
    assert [line.split()[:2] for line in lines[3:6]] == [["*", "1"], ["2", "0.891"], ["3", "0.875"]]
    assert "  3: batchnorm-flatten, vit_small_patch14_dinov2" in lines


def test_what_all_scenarios_share_stands_once_above_the_table() -> None:
    lines = printed(BOARD, 240)
    assert lines[1] == "the same for all: oversampling none, folds 3/3, FLOPs 768 M"
    assert "FLOPs" not in lines[2]
    assert not any(line.startswith("the same") for line in printed(BOARD.head(1), 240)), "one scenario shares nothing"


def test_what_has_no_room_is_named() -> None:
    text = " ".join(" ".join(printed(BOARD, 100)).split())
    assert "no room in 100 columns for balanced_accuracy, f1, roc_auc, fit s: they are" in text
    assert "no room" not in " ".join(printed(BOARD, 240))


def test_the_metric_that_ranks_and_the_folds_of_unfinished_scenarios_stay() -> None:
    header = printed(BOARD.assign(folds=["3/3", "3/3", "1/3"]), 80, "val/f1")[2]
    assert "f1" in header
    assert "folds" in header
