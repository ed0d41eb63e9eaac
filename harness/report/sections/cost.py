"""The section on costs: a table of all scenarios, and for each stage the metric over the cost."""

from collections.abc import Sequence

from harness.report.draft import Draft
from harness.report.figures.accuracy_cost import MAX_NAMED, CostAxes, CostPoint, accuracy_cost_figure, front_of
from harness.report.numbers.marks import together
from harness.report.tables.cost_table import cost_json, cost_table
from harness.report.tables.export import escaped, export_table
from harness.report.tables.scenario_tables import ranked_by
from harness.study.fit_costs import CostName
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState

VARIES_FROM = 1.2  # the largest by the smallest cost
_WORDS: dict[CostName, str] = {
    "parameters": "parameters of the whole network",
    "flops": "FLOPs of one image",
    "seconds": "seconds of a fit, with the extraction of its features",
}
_NOTE = (
    "Means over the fits of a scenario. FLOPs: of one image through the whole network, 2 for a multiply-add."
    " Extraction: the features of a frozen backbone, once for all fits that read them; fit s and images/s are without"
    " it. Seconds, memory and energy are those of the machines that made the fits, and other machines take others."
)


def cost_lines(draft: Draft) -> list[str]:
    """Write the table and the figures of costs to the folder, and return the section; empty before the first fit."""
    scenarios = draft.state.scenarios
    table = cost_table(scenarios, draft.marks)
    if table.empty:
        return []
    (draft.folder / "costs.json").write_text(cost_json(scenarios, draft.marks), encoding="utf-8")
    figures = (line for stage in draft.state.stages for line in _figure(draft, stage))
    return ["## Costs", "", _NOTE, "", *export_table(table, draft.folder, "costs"), *figures]


def _figure(draft: Draft, state: StageState) -> list[str]:
    """Draw the metric of a stage over the cost; empty where it has not two finished scenarios to compare."""
    metric = ranked_by(state.stage)
    maximize = state.stage.select.maximize if state.stage.select else True
    compared = [s for s in state.competing if s.finished and f"{metric}_mean" in s.summary]
    if len(compared) < 2:
        return []
    cost = cost_shown(state, compared)
    words = _WORDS[cost]
    points = [
        CostPoint(s.name, s.cost.of(cost) or 0.0, s.summary[f"{metric}_mean"], s.summary.get(f"{metric}_std", 0.0))
        for s in compared
        if s.cost
    ]
    name = f"cost-{state.stage.name}"
    title = draft.unit.titled(f"{draft.study.study}, stage {state.stage.name}: {metric} over its cost")
    mark = together(draft.marks.scenario(s.settings) for s in compared)
    accuracy_cost_figure(points, CostAxes(words, metric, maximize), title, draft.folder / f"{name}.png", mark)
    front = [points[index].name for index in front_of(points, maximize)]
    bars = " (bars: SD)" if len(points) <= MAX_NAMED else ""
    part = " Scenarios that cannot be selected take no part." if len(state.competing) < len(state.scenarios) else ""
    return [
        f"![{metric} over the {cost} of each scenario]({name}.png)",
        "",
        f"*Stage {escaped(state.stage.name)}: mean {metric} over the folds{bars}, over the {words}. On the front,"
        f" which no other scenario beats in both, from the cheapest: {escaped(', '.join(front))}.{part}*",
        "",
    ]


def cost_shown(state: StageState, compared: Sequence[ScenarioState]) -> CostName:
    """The cost by which a stage selects; else parameters or FLOPs, whichever vary more; where neither does, seconds."""
    select = state.stage.select
    if select and select.rule == "cheapest-equivalent":
        return select.cost
    sizes: tuple[CostName, ...] = ("parameters", "flops")
    name = max(sizes, key=lambda each: _ratio(each, compared))
    return name if _ratio(name, compared) >= VARIES_FROM else "seconds"


def _ratio(name: CostName, compared: Sequence[ScenarioState]) -> float:
    """The largest by the smallest cost; 1 where one is not known."""
    values = [s.cost.of(name) if s.cost else None for s in compared]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return 1.0
    return max(known) / min(known) if min(known) > 0 else float("inf") if max(known) > 0 else 1.0
