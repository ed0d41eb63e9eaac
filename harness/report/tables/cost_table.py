"""The costs of scenarios as a table, and as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from statistics import stdev

import numpy as np
import pandas as pd

from harness.report.numbers.marks import Marks
from harness.study.scenario_state import ScenarioState

COLUMNS = {  # the field of ScenarioCost -> its column
    "parameters": "parameters", "trained_parameters": "trained", "flops": "FLOPs", "extraction_seconds": "extraction s",
    "fit_seconds": "fit s", "images_per_second": "images/s", "peak_memory_mib": "peak MiB", "energy_wh": "Wh",
}  # fmt: skip
MAIN_COSTS = ("parameters", "FLOPs", "fit s")  # those in a leaderboard
WHERE_KNOWN = ("extraction s", "peak MiB", "Wh")  # columns that are left out where no scenario has a number


def cost_table(scenarios: Iterable[ScenarioState], marks: Marks) -> pd.DataFrame:
    """A row for each scenario with a fit, in their order; an empty cell was not recorded, or does not apply."""
    rows = []
    for state in scenarios:
        if state.cost is None:
            continue
        costs = {COLUMNS[name]: _number(value) for name, value in asdict(state.cost).items()}
        seconds = [record.facts.seconds for record in state.records.values()]
        costs["fit s SD"] = stdev(seconds) if len(seconds) > 1 else np.nan
        rows.append(
            {"scenario": state.name, "fits": f"{len(state.records)}/{len(state.jobs)}"}
            | costs
            | {"mark": marks.scenario(state.settings) or ""}
        )
    table = pd.DataFrame(rows)
    empty = [name for name in WHERE_KNOWN if name in table and table[name].isna().all()]
    table = table.drop(columns=empty)
    return table if "mark" in table and table["mark"].any() else table.drop(columns="mark", errors="ignore")


def cost_json(scenarios: Iterable[ScenarioState], marks: Marks) -> str:
    """The same numbers under the names of MLflow's metrics; null where there is none."""
    found = [
        {"scenario": s.name, "id": s.id, "fits": len(s.records), **asdict(s.cost), "mark": marks.scenario(s.settings)}
        for s in scenarios
        if s.cost
    ]
    return json.dumps(found, indent=1) + "\n"


def main_costs(state: ScenarioState) -> dict[str, float]:
    """The columns of a leaderboard; empty where a fit is of an older version, so that older reports stay the same."""
    cost = state.cost
    if cost is None or cost.flops is None:
        return {}
    return dict(zip(MAIN_COSTS, (cost.parameters, cost.flops, cost.fit_seconds), strict=True))


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
