"""The tables of several studies beside each other, and the sentences about them."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.data.units import unit_dataset
from harness.report.across.ranked_models import Cell, RankedModels, listed, mean_interval
from harness.report.across.sides import StudySide
from harness.report.numbers.records import Comparison
from harness.report.tables.cells import Measured, p_text
from harness.report.tables.estimate_table import comparison_table

FEW_DATA_SETS = 10  # fewer tell little about ranks: Demsar 2006, section 3.2.2
STYLES = ("interval", "sd", "mean")  # of a cell, the widest first


def side_table(sides: Sequence[StudySide]) -> pd.DataFrame:
    """A row for each study: its scenario, that of how many it was chosen, and its mean over the folds."""
    metric = sides[0].select.metric
    rows = []
    for side in sides:
        interval, unit = mean_interval(side.chosen, metric), side.workspace.unit
        dataset = unit_dataset(side.workspace.inputs.dataset, unit)
        rows.append(
            {
                "study": side.label,
                "scenario": side.chosen.name,
                "of": side.chosen_from,
                "folds": len(side.chosen.jobs),
                unit.plural: len(dataset.rows("train")),
                metric: side.chosen.summary[f"{metric}_mean"],
                f"{metric} SD": side.chosen.summary.get(f"{metric}_std"),
                "low": interval[0] if interval else None,
                "high": interval[1] if interval else None,
                "mark": side.mark or "",
            }
        )
    return without_empty_marks(pd.DataFrame(rows).astype({"low": float, "high": float}))


def pair_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row for each comparison of two studies, without the columns that are the same for all."""
    table = comparison_table(comparisons)
    without = ["compares", "test", "metric", *(["verdict"] if (table["verdict"] == "-").all() else [])]
    return table.drop(columns=without)


def model_table(found: RankedModels, style: str = "interval") -> pd.DataFrame:
    """A row for each model, the best mean rank first: its mean rank, and its cell of each data set."""
    ranks = dict(zip(found.models, found.ranks.means, strict=True))
    rows = []
    for model in (*found.models, *found.incomplete):
        row: dict[str, object] = {"model": model, "mean rank": ranks.get(model, np.nan)}
        cells = {d: found.by_name.get((model, d)) for d in found.data_sets}
        row |= {d: shown_cell(cell, style) for d, cell in cells.items()}
        row["mark"] = found.marks or ""
        rows.append(row)
    return without_empty_marks(pd.DataFrame(rows))


def without_empty_marks(table: pd.DataFrame) -> pd.DataFrame:
    """The table without its column `mark` where no row has one."""
    return table if table["mark"].any() else table.drop(columns="mark")


def shown_cell(cell: Cell | None, style: str) -> Measured | None:
    """The mean of a model on a data set, with its interval or its SD."""
    if cell is None:
        return None
    interval = cell.interval if style == "interval" else None
    return Measured(cell.mean, interval, None if style == "mean" else cell.sd)


def cell_words(found: RankedModels, style: str) -> str:
    """What stands behind a mean in a cell, as the end of a title."""
    if style != "interval":
        return " ± SD" if style == "sd" else ""
    flat = any(cell.interval is None for cell in found.cells)
    return f" (95 % interval){', ± SD where the folds show too little spread for one' if flat else ''}"


def against_table(found: RankedModels) -> pd.DataFrame:
    """A row for each model but the best: the chances of its difference to the best, and the practical verdict."""
    return pd.DataFrame(
        {
            "model": each.model,
            "against": found.models[0],
            "P(better)": each.chances.better,
            "P(equivalent)": each.chances.equivalent,
            "P(worse)": each.chances.worse,
            "practically": each.practical,
        }
        for each in found.against_best
    )


def rank_sentences(found: RankedModels) -> list[str]:
    """What the ranks say, in sentences."""
    test = found.ranks
    first = [model for model, mean in zip(found.models, test.means, strict=True) if mean == test.means[0]]
    have = "has" if len(first) == 1 else "have"
    words = [f"{listed(first)} {have} the best mean rank, {test.means[0]:.2f} on {test.data_sets} data sets."]
    if test.chi2 is None or test.f is None or test.critical is None:
        words.append(f"Wilcoxon's signed-rank test of the two: p {p_text(test.p)}.")
    else:
        told = "differ by more than chance" if test.resolved else "cannot be told from chance"
        words.append(
            f"The ranks {told}: Friedman chi2 {test.chi2:.2f}, Iman-Davenport F {_number(test.f)}, p {p_text(test.p)}."
            f" By Nemenyi two models differ where their mean ranks do by more than {test.critical:.2f}."
        )
    if test.data_sets < FEW_DATA_SETS:
        words.append(f"With fewer than {FEW_DATA_SETS} data sets such tests can tell little.")
    for model, sets in found.incomplete.items():
        words.append(f"{model} is not ranked: it is not finished, or has other settings, on {', '.join(sets)}.")
    return words


def _number(f: float) -> str:
    """F in words where the order is the same on every data set."""
    return f"{f:.2f}" if math.isfinite(f) else "infinite"


def against_sentence(found: RankedModels) -> str:
    """How the chances are to be read."""
    return (
        f"The Bayesian signed-rank test (Benavoli et al. 2014) of each model against {found.models[0]} over the data"
        f" sets: the probabilities that it is better by more than {found.select.margin:g}, equivalent within that, and"
        " worse. Better and worse need the test of the ranks, too."
    )
