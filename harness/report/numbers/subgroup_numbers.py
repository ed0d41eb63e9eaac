"""The numbers of each subgroup, with intervals over patients, and its differences from the other images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.data.dataset import Rows
from harness.data.subgroups import group_name
from harness.report.numbers.comparisons import ends_of, holm_adjusted
from harness.report.numbers.estimates import (
    OVER_PATIENTS,
    over_patients,
    over_repeats,
    patients_of,
    rate,
    several_images,
)
from harness.report.numbers.group_measures import AT_POINT, Measure, several_class_measures, two_class_measures
from harness.report.numbers.predictions import by_repeat
from harness.report.numbers.records import Comparison, Estimate
from harness.stats.area_within_folds import WITHIN_FOLDS, area_within_folds
from harness.stats.bootstrap import (
    Statistic,
    Values,
    bootstrap_test,
    mean_of,
    percentile_intervals,
    resampled,
    within,
)
from harness.stats.clusters import Clusters
from harness.stats.paired import Test
from harness.stats.permutation import permutation_p
from harness.study.unit import BY_IMAGE, Unit

SUBGROUP = "subgroup, "  # before the name of the images, in `Estimate.on` and `Comparison.on`
OTHERS = "all others"
IMAGES, PATIENTS = "images", "patients"
MIN_PATIENTS = 10  # of a class that a number is about: with fewer it has no interval
NO_INTERVAL = f"no interval: fewer than {MIN_PATIENTS}"  # how `Estimate.method` begins
LEADING = ("roc_auc", "balanced_accuracy")  # of two classes, and of several: the worst group is the lowest in it


@dataclass(frozen=True)
class Scored:
    """The predictions of one scenario: on the test set, or out of fold. patients: whether they are known.

    rows: what a row of the frame is about. point: the operating point, chosen out of fold; None: there is none.
    """

    subject: str
    on: str
    frame: pd.DataFrame
    positive: str | None
    patients: bool
    rows: Unit = BY_IMAGE
    point: float | None = None

    @property
    def everyone(self) -> str:
        """The name of the group of all."""
        return f"all {self.rows.plural}"

    @property
    def unit(self) -> str:
        """What the bootstrap resamples."""
        return PATIENTS if self.patients else IMAGES


@dataclass(frozen=True, eq=False)
class _Group:
    """Some of the images, as rows of the predictions of each repeat. column: empty for all images."""

    column: str
    name: str
    rows: Rows


@dataclass(frozen=True)
class _Measured:
    """The estimates of a group, and the statistics that the bootstrap computes, as far as there are patients enough."""

    estimates: tuple[Estimate, ...]
    statistics: dict[str, Statistic]  # metric -> statistic

    def value(self, metric: str) -> float:
        """The value of a metric of the group."""
        return next(e.value for e in self.estimates if e.metric == metric)


def subgroup_numbers(scored: Scored, groups: pd.DataFrame) -> tuple[list[Estimate], list[Comparison]]:
    """The estimates of every group, and the differences of each from the other images of its column.

    groups: a row for each image, a categorical column for each division into groups. All intervals are from the same
    resamples of patients. Holm's correction is over all differences of a scenario. Of two groups there is one
    difference.
    """
    parts = by_repeat(scored.frame)
    found = list(_groups(groups.loc[parts[0]["image"]], scored.everyone))
    pairs = list(_pairs(found))
    measured = {group: _measured(scored, parts, group) for group in dict.fromkeys([*found, *sum(pairs, ())])}
    drawn = _drawn(parts[0], measured)
    ends = dict(zip(drawn, percentile_intervals(np.stack([*drawn.values()], axis=-1)), strict=True)) if drawn else {}
    estimates = [_with_ends(e, ends.get((group, e.metric))) for group in found for e in measured[group].estimates]
    everyone, comparisons = measured[found[0]].statistics, []
    for one, other in pairs:
        shared = (name for name in measured[one].statistics if (other, name) in drawn)
        for metric in (name for name in shared if name != "prevalence" and not name.endswith(AT_POINT)):
            difference = measured[one].value(metric) - measured[other].value(metric)
            test = bootstrap_test(difference, drawn[one, metric] - drawn[other, metric])
            p = _permuted(parts[0], one, everyone[metric])
            comparisons.append(_comparison(scored, (one.name, other.name), metric, test, p))
    return estimates, holm_adjusted(comparisons)


def _permuted(frame: pd.DataFrame, group: _Group, statistic: Statistic) -> float | None:
    """The p of a group against all others when patients change places within their class. frame: of a repeat."""
    one, (units, strata) = np.zeros(len(frame), bool), (pd.factorize(frame[name])[0] for name in ("patient", "label"))
    one[group.rows] = True
    return permutation_p(one, units, strata, statistic)


def _drawn(frame: pd.DataFrame, measured: Mapping[_Group, _Measured]) -> dict[tuple[_Group, str], Values]:
    """The resampled values of each statistic of each group, [resamples]; all of the same resamples of patients."""
    statistics = {(group, name): s for group, each in measured.items() for name, s in each.statistics.items()}
    if not statistics:
        return {}
    values = resampled(patients_of(frame), list(statistics.values()))
    return dict(zip(statistics, values.T, strict=True))


def _comparison(scored: Scored, names: tuple[str, str], metric: str, test: Test, p: float | None) -> Comparison:
    """The comparison of two groups. p: by permutations; None: of patients in both groups that of the bootstrap."""
    by = f"bootstrap over {scored.unit}" if p is None else f"permutation of {scored.unit}"
    low, high = ends_of(test)
    first, second = (f"{scored.subject}: {name}" for name in names)
    return Comparison(
        first=first, second=second, on=SUBGROUP + scored.on, metric=metric, test=by,
        compares="fitted models", difference=test.difference, low=low, high=high, p=test.p if p is None else p,
    )  # fmt: skip


def on_group(on: str, name: str) -> str:
    """The `on` of the estimates of a group of these images."""
    return f"{SUBGROUP}{on}, {name}"


def _groups(groups: pd.DataFrame, everyone: str) -> Iterator[_Group]:
    """All images, then every group of every column, also those without an image."""
    yield _Group("", everyone, np.arange(len(groups)))
    for column in groups:
        codes = groups[column].cat.codes.to_numpy()
        for code, name in enumerate(groups[column].cat.categories):
            yield _Group(str(column), group_name(str(column), name), np.flatnonzero(codes == code))


def _pairs(groups: Sequence[_Group]) -> Iterator[tuple[_Group, _Group]]:
    """Every group with the rest of its column; of two groups, the first with the second."""
    for column in dict.fromkeys(group.column for group in groups if group.column):
        same = [group for group in groups if group.column == column and len(group.rows)]
        if len(same) == 2:
            yield same[0], same[1]
        elif len(same) > 2:
            for group in same:
                rest = np.setdiff1d(groups[0].rows, group.rows)
                yield group, _Group(column, OTHERS, rest)


def _measured(scored: Scored, parts: Sequence[pd.DataFrame], group: _Group) -> _Measured:
    """The numbers of a group, each the mean over the repeats."""
    on, subject = on_group(scored.on, group.name), scored.subject
    frames = [part.iloc[group.rows] for part in parts]
    counted = {IMAGES: len(group.rows), PATIENTS: frames[0]["patient"].nunique()}
    for name in [*([] if scored.patients else [PATIENTS]), *([IMAGES] if scored.rows.patients else [])]:
        del counted[name]
    counts = [Estimate(subject=subject, on=on, metric=name, value=n) for name, n in counted.items()]
    if not len(group.rows):
        return _Measured(tuple(counts), {})
    each = [
        several_class_measures(frame)
        if scored.positive is None
        else two_class_measures(frame, scored.positive, scored.point)
        for frame in frames
    ]
    estimates, statistics, patients = [], {}, patients_of(frames[0])
    for same in zip(*each, strict=True):
        measure = same[0]
        if not all(m.patients for m in same):  # no image that it could be computed from
            continue
        (e,) = over_repeats([[_point(m, scored, on)] for m in same])
        if measure.patients < MIN_PATIENTS:
            why = f"{NO_INTERVAL} {scored.unit}{measure.of_what}"
            e = e.model_copy(update={"low": None, "high": None, "method": why})
        else:
            e = _by_formula(e, same, patients)
            statistics[measure.metric] = within(group.rows, mean_of([m.statistic for m in same]))
        estimates.append(e)
    return _Measured((*counts, *estimates), statistics)


def _point(measure: Measure, scored: Scored, on: str) -> Estimate:
    """The value of a measure, with Wilson's interval where it is a rate."""
    if measure.found is not None:
        hits, n = int(measure.found.sum()), int(measure.among.sum())
        found = rate(scored.subject, on, measure.metric, hits, n, measure.of_class)
        return found.model_copy(update={"at": measure.at})
    value = float(measure.statistic(np.ones((1, len(measure.among))))[0])
    return Estimate(subject=scored.subject, on=on, metric=measure.metric, of_class=measure.of_class, value=value)


def _by_formula(e: Estimate, same: Sequence[Measure], patients: Clusters) -> Estimate:
    """The estimate of a rate or an area with its interval over patients. same: the measure in each repeat."""
    if folds := [fold for m in same for fold in m.folds]:
        of = area_within_folds(folds, same[0].among, patients)
        if of is None or not np.isfinite(of.low):
            return e
        over = OVER_PATIENTS if several_images(patients) else ""
        over += WITHIN_FOLDS if any(len(fold.rows) < len(patients) for fold in folds) else ""
        return e.model_copy(update={"low": of.low, "high": of.high, "method": f"{of.method}{over}"})
    if hits := [m.found for m in same if m.found is not None]:
        return over_patients(e, np.stack(hits), np.stack([m.among for m in same]), patients)
    return e


def _with_ends(estimate: Estimate, ends: tuple[float, float] | None) -> Estimate:
    if ends is None or estimate.low is not None or not np.isfinite(ends[0]):
        return estimate
    return estimate.model_copy(update={"bootstrap_low": ends[0], "bootstrap_high": ends[1]})
