"""Values with their intervals, side by side."""

from collections.abc import Sequence
from pathlib import Path

from harness.report.figures import new_figure, save
from harness.report.schema import Estimate


def interval_figure(estimates: Sequence[Estimate], title: str, path: Path, mark: str | None = None) -> Path:
    """A PNG and an SVG: a row for each metric, a point with its interval for each subject."""
    subjects = list(dict.fromkeys(e.subject for e in estimates))
    labels = list(dict.fromkeys(_label(e) for e in estimates))
    figure, axes = new_figure(6.4, 0.8 + 0.42 * len(labels))
    for number, subject in enumerate(subjects):
        shift = 0.22 * (number - (len(subjects) - 1) / 2)
        for e in (e for e in estimates if e.subject == subject):
            assert e.low is not None and e.high is not None
            y = labels.index(_label(e)) + shift
            axes.plot([e.low, e.high], [y, y], color=f"C{number}")
            axes.plot([e.value], [y], "o", color=f"C{number}", label=subject if _label(e) == labels[0] else None)
    axes.set(yticks=range(len(labels)), yticklabels=labels, title=title, xlabel="95 % interval")
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", fontsize=8)
    return save(figure, path, vector=True, mark=mark)


def _label(e: Estimate) -> str:
    return f"{e.metric}, {e.of_class}" if e.of_class else e.metric
