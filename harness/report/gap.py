"""Cross-validation against test, taken apart: class shares, threshold, and what is left."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.audit import Audit
from harness.report.export import export_table
from harness.report.schema import Estimate
from harness.report.tables import arrays, by_repeat

GAP = "gap"
STEPS = ("cross-validation", "at the test set's class shares", "test, at its best threshold", "test")
CAUSES = {
    STEPS[1]: "prior shift: the classes' shares differ, their recalls do not",
    STEPS[2]: "what no threshold mends: test images are other images",
    STEPS[3]: "threshold shift: the cut at equal probability is not the test set's best",
}

ENSEMBLE = (
    "Cross-validation scores each fold model alone, the test set the mean of them all: what that ensemble adds is in"
    " the last two steps."
)


def gap_estimates(
    out_of_fold: pd.DataFrame, test: pd.DataFrame, positive: str | None, subject: str, run_id: str | None
) -> list[Estimate]:
    """The accuracies from cross-validation to test, a step for each cause; their differences add up to the gap.

    The best threshold is found with the test labels: it belongs to this analysis alone and tunes nothing.
    Empty without a positive class. Out of fold each value is the mean of those of the repeats.
    """
    if positive is None:
        return []
    recalls = _recalls(out_of_fold)
    shares = test["label"].value_counts(normalize=True)
    reweighted = float(sum(shares[name] * recalls[name] for name in shares.index))
    values = (_accuracy(out_of_fold), reweighted, best_accuracy(test, positive), _accuracy(test))
    return [
        Estimate(subject=subject, on=GAP, metric=step, value=value, run_id=run_id)
        for step, value in zip(STEPS, values, strict=True)
    ]


def _accuracy(frame: pd.DataFrame) -> float:
    return mean(float(_right(part).mean()) for part in by_repeat(frame))


def _right(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each image is called rightly."""
    _, probabilities, labels = arrays(frame)
    right: NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return right


def _recalls(frame: pd.DataFrame) -> dict[str, float]:
    parts = [(_right(part), part["label"].to_numpy()) for part in by_repeat(frame)]
    return {name: mean(float(right[of == name].mean()) for right, of in parts) for name in frame["label"].unique()}


def best_accuracy(frame: pd.DataFrame, positive: str) -> float:
    """The accuracy at the threshold that suits these very images best."""
    order = frame.sort_values(f"prob_{positive}", kind="stable")
    is_positive = (order["label"] == positive).to_numpy()
    scores = order[f"prob_{positive}"].to_numpy(np.float64)
    # called positive: all from a cut on; a cut cannot part equal scores
    right = np.concatenate([[0], np.cumsum(~is_positive)]) + np.concatenate([np.cumsum(is_positive[::-1])[::-1], [0]])
    cuts = np.concatenate([[True], scores[1:] != scores[:-1], [True]])
    return float(right[cuts].max() / len(frame))


def gap_lines(estimates: Sequence[Estimate], audit: Audit, folder: Path) -> list[str]:
    """The gap page in Markdown; its table is written to the folder."""
    found = [e for e in estimates if e.on == GAP]
    if not found:
        return []
    subjects = {e.subject: [f for f in found if f.subject == e.subject] for e in found}
    table = pd.DataFrame(row for steps in subjects.values() for row in _steps(steps)).astype({"lost": float})
    lost = [f"{100 * (s[0].value - s[-1].value):.1f} points" for s in subjects.values()]
    controls = [f for name in ("shift", "resplit") for f in audit.named(name)]
    return [
        f"## From cross-validation to test: {', '.join(lost)}",
        "",
        *export_table(table, folder, "gap"),
        "The best threshold is found with the test labels, for this page alone; nothing is tuned by it.",
        "",
        *([ENSEMBLE, ""] if any(e.ensemble for e in estimates) else []),
        *(f"- {finding.text}" for finding in controls),
        "",
    ]


def _steps(steps: list[Estimate]) -> list[dict[str, object]]:
    """A row for each step of one scenario, with what is lost from the one before."""
    before = [None, *(e.value for e in steps)]
    return [
        {
            "scenario": e.subject,
            "accuracy": e.metric,
            "value": e.value,
            "lost": None if last is None else last - e.value,
            "cause": CAUSES.get(e.metric, ""),
            **({"mark": e.mark} if e.mark else {}),
        }
        for e, last in zip(steps, before, strict=False)
    ]
