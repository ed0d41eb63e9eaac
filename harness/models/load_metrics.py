"""Load the metrics of the user's own that a study names, and try them before anything is trained."""

from collections.abc import Mapping

import numpy as np

from harness.errors import HarnessError
from harness.models.custom import head_class
from harness.stats.own_metrics import MetricFunction, OwnMetric, OwnScores
from harness.study import Study
from harness.study.own_file import file_name

TRIAL_IMAGES_OF_A_CLASS = 4
HIGHER = "greater_is_better"  # the attribute, scikit-learn's word; without it a higher value is better


def own_scores(study: Study, sources: Mapping[str, str]) -> OwnScores:
    """The metrics of a study; its stages and its search learn which of them are better the lower.

    sources: of the user's own parts, by name. Raises HarnessError, naming the place in the study file, where one
    cannot be imported.
    """
    found = []
    for index, name in enumerate(study.metrics):
        with study.blamed("metrics", index):
            found.append(_loaded(name, sources[name]))
    study.resolve_metrics({f"val/{metric.name}": metric.greater_is_better for metric in found})
    return OwnScores(tuple(found))


def _loaded(name: str, source: str) -> OwnMetric:
    made = head_class(name, source)
    greater = getattr(made, HIGHER, True)
    if not isinstance(greater, bool):
        raise HarnessError(f"{name}: {HIGHER} is {greater!r}; allowed: True, False")
    try:
        compute: MetricFunction = made() if isinstance(made, type) else made
    except Exception as error:
        raise HarnessError(f"{name} cannot be made: {type(error).__name__}; {_expected(name, 2)}") from None
    return OwnMetric(name.partition(":")[2], compute, greater)


def try_metrics(study: Study, scores: OwnScores, classes: int) -> None:
    """Compute each metric of a few predictions. Raises HarnessError, with what is expected of one, where it fails."""
    labels = np.repeat(np.arange(classes), TRIAL_IMAGES_OF_A_CLASS)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), len(labels))
    for index, (name, metric) in enumerate(zip(study.metrics, scores.metrics, strict=True)):
        with study.blamed("metrics", index):
            try:
                first, again = (metric.value(probabilities, labels) for _ in range(2))
                if first != again:
                    raise HarnessError(f"the metric {metric.name} gives another value the second time")
            except HarnessError as error:
                raise HarnessError(f"{file_name(name)} cannot be used: {error}; {_expected(name, classes)}") from None


def _expected(name: str, classes: int) -> str:
    called = name.partition(":")[2]
    return (
        f"expected: a function {called}(labels, probabilities), or a class whose {called}() is called so, that gets"
        f" labels [n] and probabilities [n, {classes}] and returns a number"
    )
