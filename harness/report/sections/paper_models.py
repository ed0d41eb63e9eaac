"""The models of a paper on its test set, next to ours: confusion matrix, rates of each class, baselines."""

import re
from typing import Any

from harness.report.figures.intervals import interval_figure
from harness.report.numbers.marks import together
from harness.report.numbers.records import Estimate
from harness.report.recomputed_paper import model_estimates
from harness.report.sections.paper_sides import Lines, Sides, compared, export_rows
from harness.study.paper import Item, PublishedModel


def confusion_lines(sides: Sides, item: Item, name: str) -> Lines:
    paper = model_estimates(sides.published, sides.published.models[0])
    ours, why = sides.ours_on_test, _no_test(sides)
    rows = []
    for of_class in sides.published.classes:
        theirs, mine = (_pick(side, "recall", of_class) for side in (paper, ours))
        rows.append(compared(f"{of_class} called right", theirs, mine, why) | _counts(theirs, mine))
    return [*export_rows(rows, sides, name), *_intervals(sides, item, name, ("recall",))]


def _counts(paper: Estimate | None, ours: Estimate | None) -> dict[str, str]:
    """Both sides as k/n; for two classes these are the whole confusion matrix."""
    return {
        f"{side} k/n": f"{e.hits}/{e.n}" if e and e.hits is not None else ""
        for side, e in (("paper", paper), ("our", ours))
    }


def class_lines(sides: Sides, item: Item, name: str) -> Lines:
    paper = model_estimates(sides.published, sides.published.models[0])
    ours, why = sides.ours_on_test, _no_test(sides)
    keys = [(m, c) for c in sides.published.classes for m in ("precision", "recall", "f1")] + [("accuracy", None)]
    rows = [compared(f"{m}, {c}" if c else m, _pick(paper, m, c), _pick(ours, m, c), why) for m, c in keys]
    return [*export_rows(rows, sides, name), *_intervals(sides, item, name, ("precision", "recall", "accuracy"))]


def baseline_lines(sides: Sides, item: Item, name: str) -> Lines:
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
        lines += [words[0].upper() + words[1:], "", *export_rows(rows, sides, f"{name}-{number + 1}")]
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
