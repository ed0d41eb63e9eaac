from dataclasses import replace

import pytest

from harness.errors import HarnessError
from harness.store.results import FoldRecord
from harness.study.fit_costs import mean_cost, scenario_cost
from tests.conftest import fit_facts

NEW = fit_facts(parameters=30, trained_parameters=10, seconds=2.0, flops=500, peak_memory=2**21, energy_wh=0.5)


def record(images: int, epochs: int = 2, **facts: float) -> FoldRecord:
    counts = {"before": {"a": 1, "b": 1}, "after": {"a": images - 1, "b": 1}}
    return FoldRecord("job", [{}] * epochs, 1, {}, counts, replace(NEW, **facts))  # type: ignore[arg-type]


def test_a_scenario_costs_the_means_of_its_fits() -> None:
    cost = scenario_cost([record(100, seconds=2.0), record(60, seconds=4.0, energy_wh=1.5)])
    assert cost.metrics == {
        "cost/parameters": 30, "cost/trained_parameters": 10, "cost/flops": 500, "cost/fit_seconds": 3,
        "cost/images_per_second": (200 / 2 + 120 / 4) / 2, "cost/peak_memory_mib": 2, "cost/energy_wh": 1,
    }  # fmt: skip


def test_extraction_is_apart_from_the_fit() -> None:
    cost = scenario_cost([record(100, extraction_seconds=10.0)] * 2)
    assert (cost.extraction_seconds, cost.fit_seconds) == (10, 2)


def test_what_one_fit_does_not_tell_has_no_mean() -> None:
    older = FoldRecord("old", [{}], 1, {}, {}, fit_facts())
    cost = scenario_cost([record(100), older])
    assert (cost.flops, cost.energy_wh, cost.peak_memory_mib, cost.images_per_second) == (None, None, None, None)
    assert set(scenario_cost([older]).metrics) == {"cost/parameters", "cost/trained_parameters", "cost/fit_seconds"}


def test_flops_that_are_not_recorded_are_an_error_that_says_what_to_do() -> None:
    assert mean_cost("flops", [record(100)], "a + b") == 500
    assert mean_cost("seconds", [record(100, extraction_seconds=1.0)], "a + b") == 3
    with pytest.raises(HarnessError, match=r"a \+ b: the flops of 1 of its fits are not recorded.*parameters, seconds"):
        mean_cost("flops", [record(100), record(100, flops=None)], "a + b")  # type: ignore[arg-type]
