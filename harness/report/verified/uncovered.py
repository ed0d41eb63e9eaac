"""Name the files of a store that no check covers: none is passed over in silence."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.report.verified.verified_item import VerifiedItem
from harness.study.number_words import number_of

# the first part of a path in a store -> why no check covers it
REASONS = {
    "artifacts": "MLflow's copies of fits, study records and reports",
    "cache": "computed again where it is missing",
    "compared": "studies beside each other, which `compare` and `suite` write again",
    "checkpoints": "of fits that are not finished",
    "data": "images that were drawn or downloaded; those of a study are compared with --data",
    "explanations": "why a fit has no explanation or no registered model",
    "locks": "of commands that run",
    "logs": "the lines of commands whose output was closed by its reader",
    "mlflow.db": "MLflow's database, which the next run makes again from the fits where it is missing",
    "optuna.db": "the trials of searches",
    "optuna.db.lock": "of the trials of searches",
    "searches": "the best scenarios of searches, which their reports have as well",
    "states": "of fits that are not finished",
    "pictures": "images as reports show them; those of a written report are sealed with it",
    "unpublished": "why a file is not in MLflow",
}
UNKNOWN = "not a file that the harness writes here"


def uncovered_items(root: Path, covered: Collection[Path]) -> Iterator[VerifiedItem]:
    """Count the files that are neither among the covered ones nor in a covered folder, by their place in the store."""
    left: dict[str, int] = defaultdict(int)
    known = set(covered)
    for path in root.rglob("*"):
        if path.is_file() and known.isdisjoint((path, *path.parents)):
            left[path.relative_to(root).parts[0]] += 1
    for name, count in sorted(left.items()):
        reason = REASONS.get(name) or next((why for key, why in REASONS.items() if name.startswith(f"{key}-")), UNKNOWN)
        folder = (root / name).is_dir()
        number = f"{number_of(count, 'file')}: " if folder else ""
        yield VerifiedItem("other files", f"{name}/" if folder else name, "not covered", f"{number}{reason}")
