"""The numbers of a scenario on a test set, where it was refitted several times: their mean, their spread, each one."""

from collections.abc import Callable, Sequence
from statistics import stdev

import pandas as pd

from harness.report.numbers.predictions import by_repeat, refit_numbers
from harness.report.numbers.records import Estimate
from harness.stats.one_more_model import one_more
from harness.stats.proportions import Interval

SD_OVER_REFITS = "SD over refits, "  # before the metric
WITH_SEEDS = "; widened by the SD of {refits} refits, for one more model by the recipe"  # ends a method
LIMITS: dict[str, Interval] = {"mcc": (-1.0, 1.0), "loss": (0.0, float("inf")), "brier": (0.0, 2.0)}  # others: 0, 1
_REFIT = ", refit "
Of = Callable[[pd.DataFrame, str], list[Estimate]]  # the estimates from predictions, on these images


def all_refits(on: str) -> str:
    """The `on` of all refits, by that of one of them; any other stays as it is."""
    return on.partition(_REFIT)[0]


def refit_on(on: str, number: int) -> str:
    """The `on` of the numbers of one refit, the first is 1."""
    return f"{on}{_REFIT}{number}"


def refit_estimates(frame: pd.DataFrame, on: str, of: Of, own: Sequence[str] = ()) -> list[Estimate]:
    """The estimates on a test set; of several refits the means, their standard deviations, and those of each refit.

    frame: the predictions of the refits that are done, told apart by `repeat`; without that column of one model. own:
    the metrics of the user's own, which may leave 0 to 1.
    """
    parts = by_repeat(frame)
    if len(parts) < 2:
        return of(parts[0], on)
    each = [of(part, refit_on(on, number)) for number, part in zip(refit_numbers(frame), parts, strict=True)]
    found = list[Estimate]()
    for e in of(frame, on):
        values = [r.value for refit in each for r in refit if (r.metric, r.of_class) == (e.metric, e.of_class)]
        found += [
            _widened(e, values, None if e.metric in own else LIMITS.get(e.metric, (0.0, 1.0))),
            _spread(e, values),
        ]
    return found + [e for refit in each for e in refit]


def _widened(e: Estimate, values: Sequence[float], limits: Interval | None) -> Estimate:
    """The mean over refits with the interval for one more model. limits: of the metric; None: it has none."""
    update: dict[str, object] = {"repeats": 1}  # which are those of folds
    if e.interval is not None:
        low, high = one_more(e.interval, values)
        ends = (max(low, limits[0]), min(high, limits[1])) if limits else (low, high)
        names = ("low", "high") if e.low is not None else ("bootstrap_low", "bootstrap_high")
        method = (e.method or "percentile bootstrap").replace("one repeat", "one refit")
        update |= {"method": method + WITH_SEEDS.format(refits=len(values)), **dict(zip(names, ends, strict=True))}
    return e.model_copy(update=update)


def _spread(e: Estimate, values: Sequence[float]) -> Estimate:
    return Estimate(
        subject=e.subject, on=e.on, metric=f"{SD_OVER_REFITS}{e.metric}", of_class=e.of_class, value=stdev(values),
        n=len(values), run_id=e.run_id,
    )  # fmt: skip


def spread_words(estimates: Sequence[Estimate], mean: Estimate) -> str:
    """The spread of the refits behind a mean, ` (SD 0.034, 0.790 to 0.880 over the refits)`; empty of one refit."""
    same = [e for e in estimates if (e.subject, e.metric, e.of_class) == (mean.subject, mean.metric, mean.of_class)]
    values = [e.value for e in same if e.on != mean.on and all_refits(e.on) == mean.on]
    if len(values) < 2:
        return ""
    return f" (SD {stdev(values):.3f}, {min(values):.3f} to {max(values):.3f} over the refits)"
