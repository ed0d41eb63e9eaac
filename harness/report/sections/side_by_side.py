"""Tables and figures of several places, such as test sets or sites: side by side, and the mean over them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.data.dataset import Rows
from harness.report.draft import Draft
from harness.report.figures.group_forest import Forest, forest_figure
from harness.report.numbers.records import Estimate
from harness.report.numbers.set_numbers import I2, TAU2, PooledOver, shown_on
from harness.report.tables.cells import Measured
from harness.report.tables.estimate_table import estimate_table, interval_cell
from harness.report.tables.export import export_table, write_table
from harness.stats.random_effects import LEAST_EFFECTS
from harness.study.scenario_state import ScenarioState

WORDS = {"accuracy": "accuracy", "recall": "sensitivity", "specificity": "specificity", "roc_auc": "ROC AUC"}


@dataclass(frozen=True)
class Place:
    """A test set, or a site. rows: of the manifest. patients_known: whether anything says who they are."""

    name: str
    rows: Rows
    patients_known: bool


@dataclass(frozen=True)
class Places:
    """What is shown side by side. noun: of one of them. file: the start of the names of the files that are written.

    of: the places by the `on` of their estimates. pool: of the mean over them.
    """

    noun: str
    file: str
    of: Mapping[str, Place]
    pool: PooledOver


def side_by_side_lines(draft: Draft, places: Places, scenarios: Sequence[tuple[ScenarioState, str]]) -> list[str]:
    """Write the table, the means and the figures to the folder, and return them in Markdown.

    scenarios: each with its title.
    """
    table = pd.DataFrame(row for state, title in scenarios for row in _rows(draft, places, state, title))
    estimates = [e for state, _ in scenarios for on in places.of for e in _shown(draft, state, on)]
    numbers = [e.model_copy(update={"subject": f"{e.subject}, {e.on}"}) for e in estimates]
    write_table(estimate_table(numbers), draft.folder, f"{places.file}-numbers")
    return [
        *export_table(table, draft.folder, places.file),
        *_means(draft, places, [state for state, _ in scenarios]),
        *(line for state, title in scenarios for line in _forest(draft, places, state, title)),
    ]


def _shown(draft: Draft, state: ScenarioState, on: str) -> list[Estimate]:
    return shown_on(draft.statistics.estimates, state.name, on, draft.dataset.positive)


def _word(estimate: Estimate, positive: str | None) -> str:
    of = f" ({estimate.of_class})" if positive is None and estimate.of_class else ""
    return f"{WORDS[estimate.metric]}{of}"


def _rows(draft: Draft, places: Places, state: ScenarioState, title: str) -> Iterator[dict[str, object]]:
    """A row for each place."""
    dataset = draft.dataset
    for on, place in places.of.items():
        estimates, images = _shown(draft, state, on), dataset.table.iloc[place.rows]
        share = (images["label"] == dataset.positive).mean()
        mark = next((e.mark for e in estimates if e.mark), None)
        yield {
            "scenario": title,
            places.noun: place.name,
            "images": len(images),
            "patients": images["patient"].nunique() if place.patients_known else "unknown",
            **({"prevalence": share} if dataset.positive else {}),
            **{_word(e, dataset.positive): interval_cell(e) for e in estimates},
            **({"mark": mark} if mark else {}),
        }


def _pooled(draft: Draft, places: Places, state: ScenarioState) -> list[Estimate]:
    """The means of a scenario."""
    every = draft.statistics.estimates
    return [e for e in every if e.subject == state.name and e.on == places.pool.mean and e.metric in WORDS]


def _means(draft: Draft, places: Places, scenarios: Sequence[ScenarioState]) -> list[str]:
    """The random-effects means and the prediction intervals; else why there are none."""
    means, noun, pool = [e for state in scenarios for e in _pooled(draft, places, state)], places.noun, places.pool
    if not means:
        return [f"No mean over {noun}s: it takes {LEAST_EFFECTS} of them with an interval.", ""]
    of = {(e.subject, e.on, e.metric, e.of_class): e for e in draft.statistics.estimates}
    rows = []
    for e in means:
        another = of[e.subject, pool.another, e.metric, e.of_class]
        rows.append(
            {
                "scenario": e.subject, "metric": _word(e, draft.dataset.positive), f"{noun}s": e.n,
                "mean": interval_cell(e),
                "tau2": of[e.subject, pool.mean, f"{TAU2}{e.metric}", e.of_class].value,
                "I2": of[e.subject, pool.mean, f"{I2}{e.metric}", e.of_class].value,
                f"another {noun}": Measured(None, another.interval),
                **({"mark": e.mark} if e.mark else {}),
            }
        )  # fmt: skip
    return [*export_table(pd.DataFrame(rows), draft.folder, f"{places.file}-mean"), _mean_note(noun), ""]


def _mean_note(noun: str) -> str:
    return (
        "The mean is that of a random-effects model on the logit scale (DerSimonian-Laird; interval by Hartung-Knapp"
        f" with the modification for few {noun}s; tau2 is the variance between {noun}s on that scale, I2 its share of"
        f" all variance). `another {noun}` is the interval in which the value of one more is expected. With few"
        f" {noun}s both are wide, and they tell of others only as far as these {noun}s are a sample of them."
    )


def _forest(draft: Draft, places: Places, state: ScenarioState, title: str) -> list[str]:
    """Draw each metric in each place, and the mean over them."""
    rows = {place.name: _shown(draft, state, on) for on, place in places.of.items()}
    if draft.dataset.positive is None:  # a panel for each metric: of several classes only the accuracy has one
        rows = {name: [e for e in found if e.metric == "accuracy"] for name, found in rows.items()}
    words = {m: word for m, word in WORDS.items() if any(e.metric == m for found in rows.values() for e in found)}
    mark = next((e.mark for found in rows.values() for e in found if e.mark), None)
    means = _pooled(draft, places, state)
    shown = rows | ({"mean (random effects)": means} if means else {})
    path = draft.folder / f"{places.file}-{state.id}.png"
    forest_figure(Forest(shown, words), draft.unit.titled(f"{places.noun}s: {title}"), path, mark)
    return [f"![{places.noun}s]({path.name})", ""]
