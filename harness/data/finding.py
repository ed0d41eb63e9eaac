"""One finding of the audit."""

from dataclasses import dataclass, field
from typing import Any, Literal

from harness.data.dataset import Dataset, Rows
from harness.study.number_words import number_of

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class AuditFinding:
    """One finding. accepted: whether the study file accepts this error by its name."""

    name: str
    severity: Severity
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    accepted: bool = False


def counted(dataset: Dataset, rows: Rows) -> tuple[str, dict[str, Any]]:
    """Describe rows of a dataset: `12 images (9 of A, 3 of B), such as train/A/1.png`, and the same as facts."""
    by_class = {name: count for name, count in dataset.counts(rows).items() if count}
    largest = sorted(by_class.items(), key=lambda item: -item[1])[:3]
    of = ", ".join(f"{count:,} of {name}" for name, count in largest)
    more = ", ..." if len(by_class) > len(largest) else ""
    first = dataset.table["image"].iloc[rows[:20]].tolist()
    such = f", such as {first[0]}" if len(rows) > 1 else f", {first[0]}"
    text = f"{number_of(len(rows), 'image')} ({of}{more}){such}"
    return text, {"count": len(rows), "by_class": by_class, "first": first}
