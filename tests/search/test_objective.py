import pytest

from harness.errors import HarnessError
from harness.search.objective import cost_of
from harness.store.results import FoldRecord
from harness.study.search_block import Objective
from tests.conftest import fit_facts


def record(**facts: float) -> FoldRecord:
    return FoldRecord("job", [], 1, {"val/accuracy": 0.5}, {}, fit_facts(**facts))


def test_a_trial_costs_the_extraction_whichever_trial_it_was_made_for() -> None:
    records = [
        record(seconds=1.0, extraction_seconds=10.0, parameters=7, flops=9, backbone_passes=passes)
        for passes in (24, 0)
    ]
    for order in (records, records[::-1]):
        assert cost_of(Objective(cost="seconds"), order) == 11
        assert cost_of(Objective(cost="parameters"), order) == 7
        assert cost_of(Objective(cost="flops"), order) == 9
    assert cost_of(Objective(cost="seconds"), [record(seconds=3.0), record(seconds=5.0)]) == 4


def test_a_trial_whose_fits_did_not_record_its_flops_has_no_value() -> None:
    with pytest.raises(HarnessError, match=r"objective\.cost flops: the flops of 1 of its fits are not recorded"):
        cost_of(Objective(cost="flops"), [record(flops=1), record()])
