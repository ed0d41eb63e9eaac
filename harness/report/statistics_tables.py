"""Estimates and comparisons as tables."""

from collections.abc import Sequence

import pandas as pd

from harness.report.schema import Comparison, Estimate


def comparison_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row for each comparison: who, by which test, the difference with its interval, p, and what it comes to."""
    return pd.DataFrame(
        {
            "first": c.first,
            "second": c.second,
            "metric": c.metric,
            "test": c.test,
            "difference": c.difference,
            "low": c.low,
            "high": c.high,
            "p": p_text(c.p),
            "p (Holm)": p_text(c.p_holm),
            "verdict": c.verdict,
            "mark": c.mark,
        }
        for c in comparisons
    ).dropna(axis="columns", how="all")


def p_text(p: float | None) -> str:
    """A p value as it is printed."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def estimate_table(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """A row for each estimate: subject, metric, class, k/n, value and its interval."""
    table = pd.DataFrame(
        {
            "subject": e.subject,
            "metric": e.metric,
            "class": e.of_class or "all",
            "at": e.at,
            "k/n": "" if e.hits is None else f"{e.hits}/{e.n}",
            "value": e.value,
            "low": e.low,
            "high": e.high,
            "patients low": e.bootstrap_low,
            "patients high": e.bootstrap_high,
            "mark": e.mark,
        }
        for e in estimates
    ).astype({"at": float, "low": float, "high": float, "patients low": float, "patients high": float})
    return table.dropna(axis="columns", how="all")
