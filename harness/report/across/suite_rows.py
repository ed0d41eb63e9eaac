"""The rows of a suite as a table that anyone can merge with those of others, and such tables as reference."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness import __version__
from harness.errors import StudyError
from harness.report.across.ranked_models import INTERVAL, Cell, RankedModels
from harness.report.across.sides import StudySide
from harness.report.tables.cells import Measured
from harness.study.scenario_names import ScenarioNames

NEEDED = ("data_set", "model", "metric", "mean")  # columns of rows that are shown as reference


def suite_rows(name: str, command: str, sides: Sequence[StudySide], cells: Sequence[Cell], metric: str) -> pd.DataFrame:
    """A row for each model on each data set: its factors, its mean with SD and interval, and what it is made of.

    manifest_digest: rows with the same one are of the same images. command: what made the rows.
    """
    of = {side.label: side for side in sides}
    rows = []
    for cell in cells:
        side = of[cell.data_set]
        study, inputs = side.workspace.study, side.workspace.inputs
        low, high = cell.interval if cell.interval else (None, None)
        rows.append(
            {
                "suite": name, "data_set": cell.data_set, "model": cell.model,
                **ScenarioNames(study).levels(cell.scenario.settings),
                "metric": metric, "mean": cell.mean, "sd": cell.sd, "low": low, "high": high, "interval": INTERVAL,
                "fits": len(cell.scenario.jobs), "unit": side.workspace.unit.name,
                "images": len(inputs.dataset.rows("train")), "classes": len(inputs.dataset.classes),
                "seed": study.seed, "folds_seed": study.folds.seed, "manifest_digest": inputs.dataset.digest,
                "folds_digest": inputs.digests.all_folds, "study_id": side.workspace.identity,
                "scenario_id": cell.scenario.id, "harness": __version__, "command": command,
                "mark": cell.mark or "",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def read_reference(path: Path) -> pd.DataFrame:
    """Earlier rows, of this or another suite. Raises StudyError where the file has not the columns that are needed."""
    try:
        found = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise StudyError(f"--reference {path}: cannot be read as CSV: {str(error).splitlines()[0]}") from None
    lacking = [name for name in NEEDED if name not in found]
    if lacking:
        raise StudyError(f"--reference {path}: it has no column {lacking[0]}; needed: {', '.join(NEEDED)}")
    return found


def reference_table(reference: pd.DataFrame, ranked: RankedModels, sides: Sequence[StudySide]) -> pd.DataFrame:
    """A row for each earlier model, a column for each data set of the suite; never ranked with its models.

    `other images` is said where the earlier row's digest is there and another one.
    """
    digests = {side.label: side.workspace.inputs.dataset.digest for side in sides}
    known = reference[(reference["metric"] == ranked.metric) & reference["data_set"].isin(ranked.data_sets)]
    rows = []
    for model, of_model in known.groupby("model", sort=False):
        row: dict[str, object] = {"model": model}
        for data_set in ranked.data_sets:
            found = of_model[of_model["data_set"] == data_set]
            row[data_set] = _cell(found.iloc[-1], digests[data_set]) if len(found) else None
        rows.append(row)
    return pd.DataFrame(rows, columns=["model", *ranked.data_sets])


def _cell(row: pd.Series, digest: str) -> Measured:
    low, high, other = row.get("low"), row.get("high"), row.get("manifest_digest")
    note = "" if pd.isna(other) or other == digest else ", other images"
    return Measured(row["mean"], None if pd.isna(low) or pd.isna(high) else (low, high), note=note)
