"""A paper's tables and figures next to ours: its value, ours, the difference, an interval; or why a cell is empty."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.data.patient_counts import grouping
from harness.report.draft import Draft
from harness.report.figures import study as figures
from harness.report.figures.drawing import words_figure
from harness.report.figures.intervals import interval_figure
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.marks import marked, together
from harness.report.numbers.records import Estimate
from harness.report.numbers.statistics import selected_test
from harness.report.recomputed_paper import model_estimates
from harness.report.tables.export import escaped, export_table
from harness.stats.proportions import newcombe
from harness.study import Study
from harness.study.paper import Item, OpenQuestion, Published, PublishedModel
from harness.study.scenario_state import ScenarioState

NOT_PRINTED = "the paper prints a curve, no number"
Lines = list[str]


@dataclass(frozen=True)
class Sides:
    """The paper's numbers and ours."""

    published: Published
    draft: Draft

    @property
    def ours_on_test(self) -> list[Estimate]:
        """The estimates of the selected scenario on the test set; empty where it is not scored."""
        ours = selected_test(self.draft.state)
        return self.on_test(ours.name) if ours else []

    def on_test(self, subject: str) -> list[Estimate]:
        """The estimates of this scenario on the test set."""
        return [e for e in self.draft.statistics.estimates if (e.on, e.subject) == (TEST, subject)]


def paper_lines(sides: Sides) -> Lines:
    """Write the tables (CSV, LaTeX) and figures (PNG, SVG) of each item; return the section in Markdown."""
    published = sides.published
    lines = [f"## Next to the paper: {published.title}", "", f"{published.authors}. {published.source}", ""]
    lines += [f"**Ours: {escaped(mark)}.**", ""] if (mark := sides.draft.marks.every) else []
    for item in published.items:
        lines += [f"### {item.item}: {item.shows}", "", *ITEMS[item.kind](sides, item, _file(item))]
    return [*lines, "### What the paper leaves open", "", *_open(sides)]


def _file(item: Item) -> str:
    return "paper-" + "".join(c if c.isalnum() else "-" for c in item.item.lower()).replace("--", "-")


def compared(quantity: str, paper: Estimate | None, ours: Estimate | None, why: str) -> dict[str, Any]:
    """A row: the paper's value, ours, ours minus theirs with Newcombe's interval where both are counts, and our run."""
    row: dict[str, Any] = {
        "quantity": quantity,
        "paper": paper.value if paper else None,
        "ours": ours.value if ours else None,
        "our low": ours.low if ours else None,
        "our high": ours.high if ours else None,
    }
    if paper and ours:
        row["difference"] = ours.value - paper.value
        if paper.hits is not None and paper.n and ours.hits is not None and ours.n:
            row["difference low"], row["difference high"] = newcombe((ours.hits, paper.hits), (ours.n, paper.n))
    row["MLflow run"] = ours.run_id if ours else None
    row["missing"] = why if not (paper and ours) else None
    row["mark"] = ours.mark if ours else None
    return row


NUMBERS = ("paper", "ours", "our low", "our high", "difference", "difference low", "difference high")


def _export(rows: list[dict[str, Any]], sides: Sides, name: str) -> Lines:
    table = pd.DataFrame(rows)
    table = table.astype({column: float for column in NUMBERS if column in table})
    every = sides.draft.marks.every
    table["mark"] = [row.get("mark") or every for row in rows]
    filled = [c for c in table if c in ("paper", "ours") or table[c].notna().any()]
    return export_table(table[filled], sides.draft.folder, name)


def levels_of(sides: Sides, factor: str) -> tuple[list[ScenarioState], str]:
    """The scenarios that differ from a stage's selected one in this factor alone, or why there are none."""
    for state in sides.draft.state.stages:
        if factor not in state.stage.factors:
            continue
        if state.waits_for:
            return [], f"not run: stage {state.stage.name} waits for stage {state.waits_for}"
        finished = [s for s in state.scenarios if s.finished]
        if not finished:
            return [], f"not run: no scenario of stage {state.stage.name} is finished"
        others = set(state.stage.factors) - {factor}
        reference = (state.best or finished[0]).scenario.settings.model_dump(include=others)
        return [s for s in state.scenarios if s.settings.model_dump(include=others) == reference], ""
    return [], f"no stage of the study {sides.draft.study.study} varies {factor}"


def _levels(sides: Sides, item: Item, name: str) -> Lines:
    """The levels of a factor with the size and the accuracy of each: a table, and a figure of the intervals."""
    rows, found = _level_rows(sides, item, f"{sides.published.paper} holds no figure of it")
    shown = [e.model_copy(update={"subject": "ours", "metric": level}) for level, e in found.items()]
    title, path = f"{item.item}, ours: accuracy out of fold", sides.draft.folder / f"{name}.png"
    if shown:
        interval_figure(shown, title, path, together(e.mark for e in shown))
    else:
        words_figure(str(rows[0]["missing"]), title, path)
    return [*_export(rows, sides, name), f"![{item.item}]({name}.png)", ""]


def _curves(sides: Sides, item: Item, name: str) -> Lines:
    """The levels of a factor: a table of their validation accuracy, and its curves by epoch."""
    rows, _ = _level_rows(sides, item, NOT_PRINTED)
    done = [s for s in levels_of(sides, item.factor or "")[0] if s.records]
    title, path = f"{item.item}, ours", sides.draft.folder / f"{name}.png"
    if done:
        mark = together(sides.draft.marks.scenario(s.settings) for s in done)
        figures.validation_curves(done, "val/accuracy", title, path, True, mark)
    else:
        words_figure(str(rows[0]["missing"]), title, path)
    claims = [f"the paper reports {c.value} ({c.where})" for c in sides.published.cross_validation]
    words = f"Validation accuracy over all out-of-fold images; {'; '.join(claims) or NOT_PRINTED}."
    return [words, "", *_export(rows, sides, name), f"![{item.item}]({name}.png)", ""]


def _level_rows(sides: Sides, item: Item, not_printed: str) -> tuple[list[dict[str, Any]], dict[str, Estimate]]:
    """A row for each level of the paper and of our study, and our estimates by level. An empty cell says why."""
    factor = item.factor or ""
    scenarios, why = levels_of(sides, factor)
    by_level = {str(getattr(s.settings, factor)): s for s in scenarios}
    why = why or f"not among the levels of the study {sides.draft.study.study}"
    rows: list[dict[str, Any]] = []
    found: dict[str, Estimate] = {}
    for level in dict.fromkeys([*item.levels, *by_level]):
        s = by_level.get(level)
        ours = _validated(sides, s) if s else None
        missing = why if s is None else f"{len(s.records)} of {len(s.jobs)} folds are done"
        row = compared(level, None, ours, not_printed if ours else f"{not_printed}; ours: {missing}")
        if s and (cost := s.cost):
            learnt = f"{cost.learnt_parameters:,.0f}"
            row |= {"SD of the folds": s.summary.get("val/accuracy_std"), "trained parameters": learnt}
        if s:
            row["mark"] = sides.draft.marks.scenario(s.settings)
        rows.append(row)
        found |= {level: ours} if ours else {}
    if not rows:
        rows.append(compared(factor, None, None, f"{not_printed}; ours: {why}"))
    return rows, found


def _validated(sides: Sides, state: ScenarioState) -> Estimate | None:
    """The accuracy of a scenario over all its out-of-fold images."""
    keys = (state.name, OUT_OF_FOLD, "accuracy")
    return next((e for e in sides.draft.statistics.estimates if (e.subject, e.on, e.metric) == keys), None)


def _confusion(sides: Sides, item: Item, name: str) -> Lines:
    paper = model_estimates(sides.published, sides.published.models[0])
    ours, why = sides.ours_on_test, _no_test(sides)
    rows = []
    for of_class in sides.published.classes:
        theirs, mine = (_pick(side, "recall", of_class) for side in (paper, ours))
        rows.append(compared(f"{of_class} called right", theirs, mine, why) | _counts(theirs, mine))
    return [*_export(rows, sides, name), *_intervals(sides, item, name, ("recall",))]


def _counts(paper: Estimate | None, ours: Estimate | None) -> dict[str, str]:
    """Both sides as k/n; for two classes these are the whole confusion matrix."""
    return {
        f"{side} k/n": f"{e.hits}/{e.n}" if e and e.hits is not None else ""
        for side, e in (("paper", paper), ("our", ours))
    }


def _classes(sides: Sides, item: Item, name: str) -> Lines:
    paper = model_estimates(sides.published, sides.published.models[0])
    ours, why = sides.ours_on_test, _no_test(sides)
    keys = [(m, c) for c in sides.published.classes for m in ("precision", "recall", "f1")] + [("accuracy", None)]
    rows = [compared(f"{m}, {c}" if c else m, _pick(paper, m, c), _pick(ours, m, c), why) for m, c in keys]
    return [*_export(rows, sides, name), *_intervals(sides, item, name, ("precision", "recall", "accuracy"))]


def _baseline(sides: Sides, item: Item, name: str) -> Lines:
    """Each model of the paper next to ours: the same network where our study scored it, else our selected scenario."""
    lines: Lines = []
    for number, model in enumerate(sides.published.models):
        same = next(
            (t for t in sides.draft.state.tests if t.finished and t.scenario.settings.backbone == model.backbone), None
        )
        ours = sides.on_test(same.scenario.name) if same else sides.ours_on_test
        which = f"our {model.backbone}" if same else "our selected scenario"
        rows = _baseline_rows(sides, model, ours)
        words = f"{which}{f', {ours[0].subject},' if ours else ''} next to {model.name} ({model.where}):"
        lines += [words[0].upper() + words[1:], "", *_export(rows, sides, f"{name}-{number + 1}")]
    return lines + _intervals(sides, item, name, ("recall", "accuracy"))


def _baseline_rows(sides: Sides, model: PublishedModel, ours: list[Estimate]) -> list[dict[str, Any]]:
    """Rows for layers, true predictions of each class, F1 of the positive class, and accuracy."""
    paper, why = model_estimates(sides.published, model), _no_test(sides)
    depth = next((t for t in sides.draft.state.tests if ours and t.scenario.name == ours[0].subject), None)
    named = re.search(r"(?:resnet|vgg)(\d+)", depth.scenario.settings.backbone) if depth else None
    layers: dict[str, Any] = {"quantity": "layers", "paper k/n": str(model.layers or "")}
    layers["our k/n"] = named[1] if named else ""
    layers["missing"] = None if named else why or "the name of our backbone does not say it"
    rows = [layers | {"paper": None, "ours": None}] if model.layers else []
    for of_class in sides.published.classes:
        theirs, mine = _pick(paper, "recall", of_class), _pick(ours, "recall", of_class)
        rows.append(compared(f"true predictions, {of_class}", theirs, mine, why) | _counts(theirs, mine))
    keys: list[tuple[str, str | None]] = [("f1", sides.published.positive), ("accuracy", None)]
    for metric, about in keys:
        words = f"{metric}, {about}" if about else metric
        rows.append(compared(words, _pick(paper, metric, about), _pick(ours, metric, about), why))
    return rows


def _pick(estimates: list[Estimate], metric: str, of_class: str | None) -> Estimate | None:
    return next((e for e in estimates if (e.metric, e.of_class) == (metric, of_class)), None)


def _no_test(sides: Sides) -> str:
    if sides.ours_on_test:
        return ""
    return "the test set is not scored yet" if sides.draft.study.test else "the study scores no test set"


def _intervals(sides: Sides, item: Item, name: str, metrics: tuple[str, ...]) -> Lines:
    """Draw all models of the paper and ours, each with its interval."""
    models = [e for model in sides.published.models for e in model_estimates(sides.published, model)]
    shown = [e for e in [*models, *sides.ours_on_test] if e.metric in metrics and e.low is not None]
    interval_figure(
        shown, f"{item.item}, 95 % intervals", sides.draft.folder / f"{name}.png", together(e.mark for e in shown)
    )
    return [f"![{item.item}]({name}.png)", ""]


def _open(sides: Sides) -> Lines:
    rows = [
        {"the paper leaves open": q.question, "our choice": _choice(sides.draft.study, q), "flip it with": _flip(q)}
        for q in sides.published.open
    ]
    table = marked(pd.DataFrame(rows), sides.draft.marks.every)
    return export_table(table, sides.draft.folder, "paper-open") if rows else []


def _choice(study: Study, question: OpenQuestion) -> str:
    if question.choice:
        return question.choice
    dump = study.model_dump()
    values = []
    for name in question.fields:
        part, _, key = name.rpartition(".")
        levels = [level.value for level in next((s.factors[name] for s in study.stages if name in s.factors), [])]
        value = dump[part][key] if part and dump.get(part) else dump["base"].get(key, "not asked")
        if name == "folds.grouped":
            value = grouping(study)
        elif name == "weights":
            value = Path(value).name  # the rest of the path is of this machine
        values.append(f"{key}: " + (f"each of {', '.join(map(str, levels))}" if levels else str(value)))
    return "; ".join(values)


def _flip(question: OpenQuestion) -> str:
    return (
        " ".join(f"--set {name if '.' in name else f'base.{name}'}=..." for name in question.fields) or "not a factor"
    )


ITEMS: dict[str, Callable[[Sides, Item, str], Lines]] = {
    "levels": _levels,
    "curves": _curves,
    "confusion": _confusion,
    "classes": _classes,
    "baseline": _baseline,
}
