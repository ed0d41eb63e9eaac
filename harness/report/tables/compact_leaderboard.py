"""The leaderboard of a stage as a reader needs it first: what differs between its scenarios, under short names."""

from collections.abc import Sequence

import pandas as pd

from harness.report.tables.cost_table import MAIN_COSTS
from harness.report.tables.export import rounded
from harness.study.types import plain_metric

SHORT_NAMES = {"parameters": "params", "against the best": "verdict"}
CORRECTED, NESTED = "BBC-CV", "nested"  # columns of the leaderboard
SHARED = ("folds", "parameters", "FLOPs")  # besides factors, the columns that are said once where all rows agree


def compact_leaderboard(board: pd.DataFrame, factors: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The table in words, without what all its scenarios share, and this: `oversampling none, folds 3/3`.

    The corrected mean, which only the best scenario has, and that on outer folds are left out.
    """
    text = rounded(board.drop(columns=[CORRECTED, NESTED], errors="ignore"))
    several = len(text) > 1
    shared = [n for n in (*factors, *SHARED) if several and n in text and text[n].astype(str).nunique() == 1]
    words = ", ".join(f"{name} {text[name].iloc[0]}" for name in shared)
    return text.drop(columns=shared).rename(columns=SHORT_NAMES).rename(columns=short_name), words


def main_columns(board: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The table without costs, which a section of their own has, and without F1 unless that is the metric."""
    drop = [*MAIN_COSTS, *(name for name in ("val/f1", "val/f1 SD") if metric != "val/f1")]
    return board.drop(columns=drop, errors="ignore")


def corrected_mean(board: pd.DataFrame, column: str = CORRECTED) -> float | None:
    """The mean of the best scenario, corrected for being the best, or on outer folds; None where there is none."""
    values = [] if column not in board else board[column].dropna().to_list()
    return float(values[0]) if values else None


def short_name(metric: str) -> str:
    """A metric of validation without `val/`, which the title says; others as they are."""
    return metric.removeprefix("val/") if metric == plain_metric(metric) else metric
