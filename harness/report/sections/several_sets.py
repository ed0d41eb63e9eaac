"""The section on several test sets: all of them side by side, the mean over them, and the looks at each."""

from harness.data.dataset import LEADING
from harness.report.draft import Draft
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.marks import declared_looks, taken_looks
from harness.report.numbers.predictions import averaged
from harness.report.numbers.set_numbers import SET_LOOKS, TEST_SETS, on_set
from harness.report.sections.side_by_side import Place, Places, side_by_side_lines
from harness.report.tables.estimate_table import interval_note
from harness.report.tables.export import escaped


def several_sets_lines(draft: Draft) -> list[str]:
    """Write the tables and figures of several test sets to the folder, and return the section; empty for one set."""
    tests = [(test, averaged(test)) for test in draft.state.tests if test.finished]
    if not draft.dataset.further_sets or not tests:
        return []
    refits = " Means over the test sets are of refit 1." if any(test.refits for test, _ in tests) else ""
    return [
        f"## {draft.unit.titled('Test sets side by side')}: {', '.join(map(escaped, draft.dataset.sets))}",
        "",
        "Each set was scored by the same fitted models; no selection saw any of them. "
        f"{interval_note(draft.inputs.separation.unit)}{refits}",
        "",
        *side_by_side_lines(draft, _places(draft), tests),
        *_looks(draft),
    ]


def _places(draft: Draft) -> Places:
    dataset = draft.dataset
    ons = [TEST, *map(on_set, dataset.further_sets)]
    splits = [LEADING, *dataset.splits[2:]]
    of = {
        on: Place(name, dataset.rows(split), dataset.patients_known(split))
        for on, name, split in zip(ons, dataset.sets, splits, strict=True)
    }
    return Places("test set", "test-sets", of, TEST_SETS)


def _looks(draft: Draft) -> list[str]:
    """How often each further set was looked at."""
    declared, lines = declared_looks(draft.study), []
    found = (finding.text.partition(": ") for finding in draft.statistics.findings if finding.kind == SET_LOOKS)
    words = {name: text for name, _, text in found}
    for name in draft.dataset.further_sets:
        taken = taken_looks(draft.study, draft.dataset.of_set(name), draft.ledger)
        more = f"; {escaped(words[name])}" if name in words else ""
        lines.append(
            f"- {escaped(name)}: {taken} of {declared} declared looks were taken by this study in this store{more}."
        )
    return [*lines, ""]
