"""Estimates and comparisons as tables."""

from collections.abc import Sequence

import pandas as pd

from harness.report.numbers.estimates import WILSON_OF_MEAN
from harness.report.numbers.records import Comparison, Estimate
from harness.report.numbers.subgroup_numbers import NO_INTERVAL
from harness.report.tables.cells import Measured
from harness.stats.bootstrap import RESAMPLES
from harness.stats.practical import PROBABLE

_FITTED_MODELS_NOTE = (
    "These tests compare fitted models on these {rows}, whatever the stage selects by: accuracy (Obuchowski 1998) and"
    " ROC AUC (DeLong's test as extended by Obuchowski 1997), with errors over {unit}. Two fits by the same recipe may"
    " differ as much, so no scenario is better by them: verdicts on scenarios come from the folds alone, where each"
    " recipe is trained again."
)


def fitted_models_note(rows: str, unit: str) -> str:
    """The sentences on what tests of fitted models say. rows: what was predicted. unit: what is independent."""
    return _FITTED_MODELS_NOTE.format(rows=rows, unit=unit)


FITS_NOTE = (
    " Low and high of these fits alone: the interval of the difference between the models as they were fitted, when"
    " {unit} are resampled. Without 0 in it, these fits differ on such {unit}; the verdict may still be that the folds"
    " cannot resolve the recipes, as other fits by the same recipes may differ by more."
)


def practical_note(margin: float) -> str:
    """The sentences on the two verdicts on recipes."""
    return (
        "The verdict is that of the corrected resampled t-test with Holm's correction: whether the folds tell the two"
        f" recipes apart. Practically a difference counts from {margin:g} on (`select.margin`): the Bayesian correlated"
        " t-test (Benavoli et al. 2017) gives the probabilities that the first is better by more than that, equivalent"
        f" within it, and worse; a word needs more than {PROBABLE:.0%}, better and worse the other verdict too."
    )


def interval_note(unit: str) -> str:
    """The sentence on how intervals were found. unit: what is independent."""
    return (
        "95 % intervals: of rates by Wilson, on their number over the design effect; of areas by DeLong, on the logit"
        f" scale (by Newcombe where a curve is perfect); both over {unit}. Of other numbers by resampling {unit},"
        f" {RESAMPLES:,} times."
    )


def comparison_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row for each comparison: both sides, the test, the difference with its interval, p, and the verdict."""
    return pd.DataFrame(
        {
            "first": c.first,
            "second": c.second,
            "metric": c.metric,
            "compares": c.compares,
            "test": c.test,
            "difference": c.difference,
            "low": c.low,
            "high": c.high,
            "low, these fits alone": c.fits_low,
            "high, these fits alone": c.fits_high,
            "p": c.p,
            "p (Holm)": c.p_holm,
            "verdict": c.verdict or "-",
            "P(better)": c.better,
            "P(equivalent)": c.equivalent,
            "P(worse)": c.worse,
            "practically": c.practical,
            "mark": c.mark,
        }
        for c in comparisons
    ).dropna(axis="columns", how="all")


def interval_cell(e: Estimate) -> Measured:
    """A value with its interval; `small` where its group is too small for one."""
    small = e.interval is None and (e.method or "").startswith(NO_INTERVAL)
    return Measured(e.value, e.interval, note=" (small)" if small else "")


def estimate_table(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """A row for each estimate, with its interval."""
    table = pd.DataFrame(
        {
            "subject": e.subject,
            "metric": e.metric,
            "class": e.of_class or "all",
            "at": e.at,
            "k/n": _counts(e),
            "value": e.value,
            "low": e.interval[0] if e.interval else None,
            "high": e.interval[1] if e.interval else None,
            "mark": e.mark,
        }
        for e in estimates
    ).astype({"at": float, "low": float, "high": float})
    return table.dropna(axis="columns", how="all")


def _counts(e: Estimate) -> str:
    """k/n of a rate; with several repeats, the mean k."""
    if e.hits is not None:
        return f"{e.hits}/{e.n}"
    return f"{e.value * e.n:.1f}/{e.n}" if e.n and (e.method or "").startswith(WILSON_OF_MEAN) else ""
