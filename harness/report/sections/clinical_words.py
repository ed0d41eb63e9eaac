"""What a clinic asks of a scored model, in words: its rates at the operating point, and its calibration."""

from collections.abc import Iterator, Sequence

from harness.report.numbers.comparisons import TEST
from harness.report.numbers.predictive_numbers import NPV, PPV, PREDICTIVE
from harness.report.numbers.recalibration import RECALIBRATED
from harness.report.numbers.records import Estimate
from harness.report.numbers.threshold_numbers import OPERATING, POINT, SWEEP, point_words
from harness.stats.calibration import INTERCEPT, RATIO, SLOPE
from harness.study.scenario_state import ScenarioState

RATES = {"recall": "sensitivity", "specificity": "specificity"}


def clinical_words(estimates: Sequence[Estimate], test: ScenarioState) -> Iterator[str]:
    """The sentences on one scenario on the test set, of several refits the first; empty without two classes."""
    own = [e for e in estimates if e.subject == test.name]
    where = "on the test set" if test.refits is None else "on the test set, by refit 1"
    point = next((e for e in own if (e.on, e.metric) == (SWEEP, POINT)), None)
    if point is None:
        return
    found = [
        *((word, e) for name, word in RATES.items() for e in _of(own, OPERATING, name) if e.at == point.value),
        *((name, e) for name in (PPV, NPV) for e in _of(own, PREDICTIVE, name) if e.at is None),
    ]
    yield (
        f"At the operating point {point.value:.3f} for {point.of_class}, the {point_words(point.method)} out of fold:"
        f" {', '.join(f'{word} {_value(e)}' for word, e in found)} {where}"
    )
    numbers = [e for name in (INTERCEPT, SLOPE, RATIO) for e in _of(own, RECALIBRATED + TEST, name)]
    if numbers:
        yield f"Calibration {where}: {', '.join(f'{_short(e.metric)} {_value(e)}' for e in numbers)}"


def _short(metric: str) -> str:
    return metric.removeprefix("calibration ")


def _of(estimates: Sequence[Estimate], on: str, metric: str) -> list[Estimate]:
    return [e for e in estimates if (e.on, e.metric) == (on, metric)]


def _value(e: Estimate) -> str:
    return f"{e.value:.3f} ({e.interval[0]:.3f} to {e.interval[1]:.3f})" if e.interval else f"{e.value:.3f}"
