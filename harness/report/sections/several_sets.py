"""The section on several test sets: all of them side by side, and the mean over them."""

from collections.abc import Iterator

import pandas as pd

from harness.data.dataset import LEADING, Dataset
from harness.report.draft import Draft
from harness.report.figures.subgroups import Forest, forest_figure
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.marks import declared_looks, taken_looks
from harness.report.numbers.predictions import scored
from harness.report.numbers.records import Estimate
from harness.report.numbers.set_numbers import ANOTHER_SET, I2, MEAN, SET_LOOKS, TAU2, on_set, shown_on
from harness.report.tables.export import escaped, export_table, write_table
from harness.report.tables.statistics import estimate_table, interval_cell
from harness.stats.bootstrap import RESAMPLES
from harness.stats.random_effects import LEAST_EFFECTS
from harness.study.state import ScenarioState

WORDS = {"accuracy": "accuracy", "recall": "sensitivity", "specificity": "specificity", "roc_auc": "ROC AUC"}
MEAN_NOTE = (
    "The mean is that of a random-effects model on the logit scale (DerSimonian-Laird; interval by Hartung-Knapp with"
    " the modification for few sets; tau2 is the variance between sets on that scale, I2 its share of all variance)."
    " The last line is the interval in which the value of one more such set is expected. With few sets both are wide,"
    " and they say something of other sites only as far as these sets are a sample of them."
)


def several_sets_lines(draft: Draft) -> list[str]:
    """Write the tables and figures of several test sets to the folder, and return the section; empty for one set."""
    tests = [test for test in draft.state.tests if test.finished]
    if not draft.dataset.further_sets or not tests:
        return []
    table = pd.DataFrame(row for test in tests for row in _rows(draft, test))
    estimates = [e for test in tests for on in _ons(draft.dataset) for e in _shown(draft, test, on)]
    unit = draft.inputs.separation.unit
    numbers = [e.model_copy(update={"subject": f"{e.subject}, {e.on}"}) for e in estimates]
    write_table(estimate_table(numbers, unit), draft.folder, "test-set-numbers")
    return [
        f"## {draft.unit.titled('Test sets side by side')}: {', '.join(map(escaped, draft.dataset.sets))}",
        "",
        f"Each set was scored by the same fitted models; no selection saw any of them. 95 % intervals by resampling"
        f" {unit}, {RESAMPLES:,} times; where all resamples agree, by Wilson or DeLong.",
        "",
        *export_table(table.fillna("-"), draft.folder, "test-sets"),
        *_means(draft, tests),
        *(line for test in tests for line in _forest(draft, test)),
        *_looks(draft),
    ]


def _ons(dataset: Dataset) -> dict[str, str]:
    """The `on` of the estimates of each set -> the name of the set."""
    return {TEST: dataset.sets[0], **{on_set(name): name for name in dataset.further_sets}}


def _shown(draft: Draft, test: ScenarioState, on: str) -> list[Estimate]:
    return shown_on(draft.statistics.estimates, test.name, on, draft.dataset.positive)


def _word(estimate: Estimate, positive: str | None) -> str:
    of = f" ({estimate.of_class})" if positive is None and estimate.of_class else ""
    return f"{WORDS[estimate.metric]}{of}"


def _rows(draft: Draft, test: ScenarioState) -> Iterator[dict[str, object]]:
    """A row for each set."""
    dataset = draft.dataset
    for split, (on, name) in zip([LEADING, *dataset.splits[2:]], _ons(dataset).items(), strict=True):
        rows, estimates = dataset.rows(split), _shown(draft, test, on)
        images = dataset.table.iloc[rows]
        share = (images["label"] == dataset.positive).mean()
        mark = next((e.mark for e in estimates if e.mark), None)
        yield {
            "scenario": scored(test),
            "set": name,
            "images": f"{len(rows):,}",
            "patients": f"{images['patient'].nunique():,}" if dataset.patient_rule is not None else "unknown",
            **({"prevalence": f"{share:.3f}"} if dataset.positive else {}),
            **{_word(e, dataset.positive): interval_cell(e) for e in estimates},
            **({"mark": mark} if mark else {}),
        }


def _means(draft: Draft, tests: list[ScenarioState]) -> list[str]:
    """The random-effects means and the prediction intervals; else why there are none."""
    positive, every = draft.dataset.positive, draft.statistics.estimates
    means = [e for test in tests for e in every if e.subject == test.name and e.on == MEAN and e.metric in WORDS]
    if not means:
        return [f"No mean over the sets: it takes {LEAST_EFFECTS} sets with an interval.", ""]
    of = {(e.subject, e.on, e.metric, e.of_class): e for e in every}
    rows = []
    for e in means:
        another = of[e.subject, ANOTHER_SET, e.metric, e.of_class]
        rows.append(
            {
                "scenario": e.subject, "metric": _word(e, positive), "sets": f"{e.n}", "mean": interval_cell(e),
                "tau2": of[e.subject, MEAN, f"{TAU2}{e.metric}", e.of_class].value,
                "I2": of[e.subject, MEAN, f"{I2}{e.metric}", e.of_class].value,
                "another set": f"{another.low:.3f} to {another.high:.3f}", **({"mark": e.mark} if e.mark else {}),
            }
        )  # fmt: skip
    return [*export_table(pd.DataFrame(rows), draft.folder, "test-sets-mean"), MEAN_NOTE, ""]


def _forest(draft: Draft, test: ScenarioState) -> list[str]:
    """Draw each metric on each set, and the mean over them."""
    positive, every = draft.dataset.positive, draft.statistics.estimates
    rows = {name: _shown(draft, test, on) for on, name in _ons(draft.dataset).items()}
    means = [e for e in every if e.subject == test.name and e.on == MEAN and e.metric in WORDS]
    if positive is None:  # a panel for each metric: of several classes only the accuracy has one
        rows = {name: [e for e in found if e.metric == "accuracy"] for name, found in rows.items()}
    words = {
        metric: word for metric, word in WORDS.items() if any(e.metric == metric for e in rows[draft.dataset.sets[0]])
    }
    mark = next((e.mark for found in rows.values() for e in found if e.mark), None)
    path = draft.folder / f"test-sets-{test.id}.png"
    shown = rows | ({"mean (random effects)": means} if means else {})
    forest_figure(Forest(shown, words), draft.unit.titled(f"test sets: {scored(test)}"), path, mark)
    return [f"![test sets]({path.name})", ""]


def _looks(draft: Draft) -> list[str]:
    """How often each further set was looked at."""
    declared, lines = declared_looks(draft.study), []
    words = {
        f.text.partition(": ")[0]: f.text.partition(": ")[2] for f in draft.statistics.findings if f.kind == SET_LOOKS
    }
    for name in draft.dataset.further_sets:
        taken = taken_looks(draft.study, draft.dataset.of_set(name), draft.ledger)
        more = f"; {escaped(words[name])}" if name in words else ""
        lines.append(
            f"- {escaped(name)}: {taken} of {declared} declared looks were taken by this study in this store{more}."
        )
    return [*lines, ""]
