"""The audit as a table: what was found, how grave it is, and what to do."""

import pandas as pd

from harness.report.draft import Draft
from harness.report.sections.advice import advice, shown_findings
from harness.report.sections.odd_images import odd_lines
from harness.report.tables.export import marked_markdown


def audit_lines(draft: Draft) -> list[str]:
    """Write audit.json to the folder, and return the section in Markdown; the counts of images stand elsewhere."""
    audit = draft.workspace.audit
    (draft.folder / "audit.json").write_text(audit.to_json(draft.marks.of_study), encoding="utf-8")
    shown = [f for f in audit.findings if f.name != "counts"]
    rows = [
        {"severity": f.severity, "finding": f.name, "what was found": words, "what to do": advice(f)}
        for f, words in shown_findings(shown)
    ]
    numbers = {severity: sum(f.severity == severity for f in shown) for severity in ("error", "warning", "note")}
    said = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in numbers.items() if count)
    table = marked_markdown(pd.DataFrame(rows)) if rows else []
    return ["## Audit", "", f"{said or 'No finding'}; all of it: audit.json.", "", *table, *odd_lines(draft)]
