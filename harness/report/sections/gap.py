"""The gap between cross-validation and test, split by cause: class shares, threshold, and the rest."""

from collections.abc import Sequence

import pandas as pd

from harness.data.finding import AuditFinding
from harness.report.draft import Draft
from harness.report.numbers.gap_numbers import GAP, STEPS
from harness.report.numbers.records import Estimate
from harness.report.numbers.set_numbers import gap_on
from harness.report.tables.export import escaped, export_table

CAUSES = {
    STEPS[1]: "prior shift: the classes' shares differ, their recalls do not",
    STEPS[2]: "what no threshold mends: test {unit} are other {unit}",
    STEPS[3]: "threshold shift: the cut at equal probability is not the test set's best",
}

ENSEMBLE_NOTE = (
    "Cross-validation scores each fold model alone, the test set the mean of all of them: the effect of that ensemble"
    " is in the last two steps."
)


def gap_lines(draft: Draft) -> list[str]:
    """Write a table of the gap to each test set to the folder, and return the sections in Markdown."""
    estimates, names = draft.statistics.estimates, draft.dataset.sets
    lines = _section(draft, [e for e in estimates if e.on == GAP], _controls(draft, [*names[:1], None]))
    for name in draft.dataset.further_sets:
        lines += _section(draft, [e for e in estimates if e.on == gap_on(name)], _controls(draft, [name]), name)
    return lines


def _controls(draft: Draft, sets: Sequence[str | None]) -> list[AuditFinding]:
    """The findings on the images of a set."""
    audit = draft.workspace.audit
    return [f for name in ("shift", "resplit") for f in audit.named(name) if f.facts.get("set") in sets]


def _section(
    draft: Draft, found: Sequence[Estimate], controls: Sequence[AuditFinding], test_set: str | None = None
) -> list[str]:
    """The gap to one test set. test_set: its name, where it is not the leading one."""
    if not found:
        return []
    subjects = {e.subject: [f for f in found if f.subject == e.subject] for e in found}
    table = pd.DataFrame(row for steps in subjects.values() for row in _steps(steps, draft.unit.plural)).astype(
        {"lost": float}
    )
    lost = [f"{100 * (s[0].value - s[-1].value):.1f} points" for s in subjects.values()]
    name, words = ("gap", "test") if test_set is None else (f"gap-{test_set}", escaped(test_set))
    return [
        f"## {draft.unit.titled(f'From cross-validation to {words}')}: {', '.join(lost)}",
        "",
        *export_table(table, draft.folder, name),
        "The best threshold is found with the test labels, for this section alone; nothing is tuned by it.",
        "",
        *([ENSEMBLE_NOTE, ""] if any(e.ensemble for e in draft.statistics.estimates) else []),
        *(f"- {finding.text}" for finding in controls),
        "",
    ]


def _steps(steps: list[Estimate], unit: str) -> list[dict[str, object]]:
    """A row for each step of one scenario, with the accuracy lost since the previous step."""
    before = [None, *(e.value for e in steps)]
    return [
        {
            "scenario": e.subject,
            "accuracy": e.metric,
            "value": e.value,
            "lost": None if last is None else last - e.value,
            "cause": CAUSES.get(e.metric, "").format(unit=unit),
            **({"mark": e.mark} if e.mark else {}),
        }
        for e, last in zip(steps, before, strict=False)
    ]
