"""What a paper leaves open, our choice, and how to flip it."""

from pathlib import Path

import pandas as pd

from harness.data.patient_counts import grouping
from harness.report.numbers.marks import marked
from harness.report.sections.paper_sides import Lines, Sides
from harness.report.tables.export import export_table
from harness.study import Study
from harness.study.paper import OpenQuestion


def open_lines(sides: Sides) -> Lines:
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
